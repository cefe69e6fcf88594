"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const cards = [...document.querySelectorAll(".card")];
  const names = ["f1", "precision", "recall"];
  const current = data.labels.map((label) => label.assumed);
  const format = (value) => (value === null ? "n/a" : value.toFixed(3));
  const ratio = (part, whole) => (whole ? part / whole : null);
  const slider = (card) => card.querySelector("input");

  const metricsAt = (label, step) => {
    const tp = label.truePositives[step], fp = label.falsePositives[step], fn = label.support - tp;
    const known = step >= label.completeFrom;
    return [known ? ratio(2 * tp, 2 * tp + fp + fn) : null,
      known ? ratio(tp, tp + fp) : null, ratio(tp, label.support)];
  };
  const showMeans = () => names.forEach((name, at) => {
    const values = [...current, ...data.others].map((metrics) => metrics[at]).filter((value) => value !== null);
    const sum = values.reduce((total, value) => total + value, 0);
    document.querySelector(`[data-mean="${name}"]`).textContent = format(ratio(sum, values.length));
  });
  const showCard = (number, threshold, metrics) => {
    const card = cards[number], dot = card.querySelector("circle");
    current[number] = metrics;
    card.querySelector("output").textContent = threshold === null ? "n/a" : threshold.toFixed(3);
    names.forEach((name, at) => {
      card.querySelector(`[data-metric="${name}"]`).textContent = format(metrics[at]);
    });
    const [, precision, recall] = metrics;
    const visible = precision !== null && recall !== null;
    dot.setAttribute("visibility", visible ? "visible" : "hidden");
    if (visible) {
      dot.setAttribute("cx", 100 * recall);
      dot.setAttribute("cy", 100 - 100 * precision);
    }
  };
  const move = (number, step) => showCard(number, step / 100, metricsAt(data.labels[number], step));

  cards.forEach((card, number) => slider(card).addEventListener("input", (event) => {
    move(number, Number(event.target.value));
    showMeans();
  }));
  document.getElementById("every").addEventListener("input", (event) => {
    cards.forEach((card, number) => {
      slider(card).value = event.target.value;  // the browser clamps it to the slider's range
      move(number, Number(slider(card).value));
    });
    showMeans();
  });
  document.getElementById("reset").addEventListener("click", () => {
    data.labels.forEach((label, number) => {
      slider(cards[number]).value = label.threshold === null ? 50 : Math.round(100 * label.threshold);
      showCard(number, label.threshold, label.assumed);
    });
    showMeans();
  });
  showMeans();
  document.body.classList.remove("no-script");
})();
