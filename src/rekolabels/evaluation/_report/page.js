"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const cards = [...document.querySelectorAll(".card")];
  const names = ["f1", "precision", "recall"];
  const current = data.labels.map((label) => label.assumed);
  const show = (value) => (value === null ? "n/a" : value.toFixed(3));
  const share = (part, whole) => (whole ? part / whole : null);

  const count = (label, step) => {
    const right = label.right[step], wrong = label.wrong[step];
    const missed = label.support - right, known = step >= label.complete_from;
    return [known ? share(2 * right, 2 * right + wrong + missed) : null,
      known ? share(right, right + wrong) : null, share(right, label.support)];
  };
  const means = () => names.forEach((name, at) => {
    const values = [...current, ...data.others].map((figures) => figures[at]).filter((value) => value !== null);
    const sum = values.reduce((total, value) => total + value, 0);
    document.querySelector(`[data-mean="${name}"]`).textContent = show(share(sum, values.length));
  });
  const put = (number, threshold, figures) => {
    const card = cards[number], dot = card.querySelector("circle");
    current[number] = figures;
    card.querySelector("output").textContent = threshold === null ? "n/a" : threshold.toFixed(3);
    names.forEach((name, at) => {
      card.querySelector(`[data-metric="${name}"]`).textContent = show(figures[at]);
    });
    const seen = figures[1] !== null && figures[2] !== null;
    dot.setAttribute("visibility", seen ? "visible" : "hidden");
    if (seen) {
      dot.setAttribute("cx", 100 * figures[2]);
      dot.setAttribute("cy", 100 - 100 * figures[1]);
    }
  };
  const move = (number, step) => put(number, step / 100, count(data.labels[number], step));
  const slider = (card) => card.querySelector("input");

  cards.forEach((card, number) => slider(card).addEventListener("input", (event) => {
    move(number, Number(event.target.value));
    means();
  }));
  document.getElementById("every").addEventListener("input", (event) => {
    cards.forEach((card, number) => {
      slider(card).value = event.target.value;  // the browser keeps it within the slider's range
      move(number, Number(slider(card).value));
    });
    means();
  });
  document.getElementById("reset").addEventListener("click", () => {
    data.labels.forEach((label, number) => {
      slider(cards[number]).value = label.threshold === null ? 50 : Math.round(100 * label.threshold);
      put(number, label.threshold, label.assumed);
    });
    means();
  });
  means();
  document.body.classList.remove("unscripted");
})();
