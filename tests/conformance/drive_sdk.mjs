// Run all steps of a project with the AWS SDK for JavaScript.
// Arguments: the folder with node_modules, the data folder.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join, relative, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const [tools, data] = process.argv.slice(2);
const require = createRequire(join(resolve(tools), "package.json"));
const rek = require("@aws-sdk/client-rekognition");
const s3sdk = require("@aws-sdk/client-s3");

const client = new rek.RekognitionClient({ maxAttempts: 1 });
const s3 = new s3sdk.S3Client({ maxAttempts: 1, forcePathStyle: true });
const call = (name, input = {}) => client.send(new rek[`${name}Command`](input));
const store = (name, input = {}) => s3.send(new s3sdk[`${name}Command`](input));
const step = (text) => console.log(`   ${text}`);

async function fails(promise, name, message = /./) {
  const error = await promise.then(() => assert.fail(`Expected ${name}.`), (e) => e);
  assert.equal(error.name, name, error.stack);
  assert.ok(error instanceof rek.RekognitionServiceException);
  // The SDK models these members of the body; it moves Message to message.
  assert.equal(error.Code, name);
  assert.match(error.Logref, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  assert.match(error.message, message);
}

async function until(what, condition) {
  const deadline = Date.now() + 120_000;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `Timed out: ${what}.`);
    await sleep(100);
  }
}

async function collect(pages, member) {
  const all = [];
  let count = 0;
  for await (const page of pages) {
    all.push(...(page[member] ?? []));
    count += 1;
  }
  return [all, count];
}

function* files(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* files(path);
    else yield path;
  }
}

async function upload() {
  await store("CreateBucket", { Bucket: "puppies" });
  await s3sdk.waitUntilBucketExists({ client: s3, maxWaitTime: 10 }, { Bucket: "puppies" });
  for (const path of files(data)) {
    const name = relative(data, path).split("\\").join("/");
    const Key = name.endsWith(".manifest") ? name : `images/${name}`;
    await store("PutObject", { Bucket: "puppies", Key, Body: readFileSync(path) });
  }
  const pages = s3sdk.paginateListObjectsV2({ client: s3, pageSize: 5 }, { Bucket: "puppies", Prefix: "images/" });
  const [objects, count] = await collect(pages, "Contents");
  assert.deepEqual([objects.length, count], [16, 4]);
  const { Body } = await store("GetObject", { Bucket: "puppies", Key: "images/test/dark/0.png", Range: "bytes=1-3" });
  assert.equal(await Body.transformToString(), "PNG");
  step("bucket, its waiter, upload, list in pages, a range");
}

async function createDatasets(ProjectArn) {
  const datasets = [];
  for (const kind of ["train", "test"]) {
    const S3Object = { Bucket: "puppies", Name: `${kind}.manifest` };
    const { DatasetArn } = await call("CreateDataset", {
      ProjectArn, DatasetType: kind.toUpperCase(), DatasetSource: { GroundTruthManifest: { S3Object } },
    });
    datasets.push(DatasetArn);
    await until("the dataset is complete", async () =>
      (await call("DescribeDataset", { DatasetArn })).DatasetDescription.Status === "CREATE_COMPLETE");
  }
  await fails(call("CreateDataset", { ProjectArn, DatasetType: "TRAIN" }), "ResourceAlreadyExistsException");
  const [DatasetArn] = datasets;
  const [entries, count] = await collect(rek.paginateListDatasetEntries({ client, pageSize: 5 }, { DatasetArn }), "DatasetEntries");
  assert.deepEqual([entries.length, count], [12, 3]);
  await call("UpdateDatasetEntries", { DatasetArn, Changes: { GroundTruth: Buffer.from(entries[0]) } });
  await until("the dataset is updated", async () =>
    (await call("DescribeDataset", { DatasetArn })).DatasetDescription.Status === "UPDATE_COMPLETE");
  const [labels] = await collect(rek.paginateListDatasetLabels({ client }, { DatasetArn }), "DatasetLabelDescriptions");
  assert.deepEqual(labels.map((one) => one.LabelName), ["dark", "stripes"]);
  step("datasets, entries and labels in pages, an update");
  return datasets;
}

async function describe(ProjectArn, VersionName) {
  const { ProjectVersionDescriptions: found } = await call("DescribeProjectVersions", { ProjectArn, VersionNames: [VersionName] });
  return found[0];
}

async function train(ProjectArn) {
  const OutputConfig = { S3Bucket: "puppies", S3KeyPrefix: "out" };
  const { ProjectVersionArn } = await call("CreateProjectVersion", { ProjectArn, VersionName: "v1", OutputConfig });
  await rek.waitUntilProjectVersionTrainingCompleted(
    { client, maxWaitTime: 120, minDelay: 1, maxDelay: 1 }, { ProjectArn, VersionNames: ["v1"] });
  const found = await describe(ProjectArn, "v1");
  assert.ok(found.EvaluationResult.F1Score > 0.9);
  assert.ok(found.TrainingEndTimestamp >= found.CreationTimestamp);
  const { Bucket, Name } = found.EvaluationResult.Summary.S3Object;
  const { Body } = await store("GetObject", { Bucket, Key: Name });
  assert.ok(JSON.parse(await Body.transformToString()).EvaluationDetails.Labels.length === 2);
  step("training, its waiter, its results in S3");
  return ProjectVersionArn;
}

async function run(ProjectArn, ProjectVersionArn) {
  const bytes = readFileSync(join(data, "test", "dark", "0.png"));
  await fails(call("DetectCustomLabels", { ProjectVersionArn, Image: { Bytes: bytes } }), "ResourceNotReadyException");
  await call("StartProjectVersion", { ProjectVersionArn, MinInferenceUnits: 1 });
  await rek.waitUntilProjectVersionRunning(
    { client, maxWaitTime: 120, minDelay: 1, maxDelay: 1 }, { ProjectArn, VersionNames: ["v1"] });
  const byBytes = await call("DetectCustomLabels", { ProjectVersionArn, Image: { Bytes: bytes } });
  assert.deepEqual(byBytes.CustomLabels.map((one) => one.Name), ["dark"]);
  const S3Object = { Bucket: "puppies", Name: "images/test/stripes/1.png" };
  const byObject = await call("DetectCustomLabels", { ProjectVersionArn, Image: { S3Object }, MinConfidence: 0 });
  assert.deepEqual(byObject.CustomLabels.map((one) => one.Name), ["stripes", "dark"]);
  await fails(call("DetectCustomLabels", { ProjectVersionArn, Image: { Bytes: Buffer.from("no image") } }), "InvalidImageFormatException");
  await call("StopProjectVersion", { ProjectVersionArn });
  await until("the model has stopped", async () => (await describe(ProjectArn, "v1")).Status === "STOPPED");
  step("start, its waiter, detect, stop");
}

async function remove(ProjectArn, ProjectVersionArn, datasets) {
  await fails(call("DeleteProject", { ProjectArn }), "ResourceInUseException");
  await call("DeleteProjectVersion", { ProjectVersionArn });
  await until("the version is gone", async () => (await describe(ProjectArn, "v1")) === undefined);
  for (const DatasetArn of datasets) {
    await call("DeleteDataset", { DatasetArn });
    await until("the dataset is gone", () =>
      call("DescribeDataset", { DatasetArn }).then(() => false, (e) => e.name === "ResourceNotFoundException"));
  }
  await call("DeleteProject", { ProjectArn });
  await until("the project is gone", async () => {
    const [left] = await collect(rek.paginateDescribeProjects({ client, pageSize: 1 }, {}), "ProjectDescriptions");
    return left.length === 0;
  });
  const [objects] = await collect(s3sdk.paginateListObjectsV2({ client: s3 }, { Bucket: "puppies" }), "Contents");
  await store("DeleteObjects", { Bucket: "puppies", Delete: { Objects: objects.map(({ Key }) => ({ Key })) } });
  await store("DeleteBucket", { Bucket: "puppies" });
  step("everything deleted");
}

await upload();
const { ProjectArn } = await call("CreateProject", { ProjectName: "birds", Tags: { stage: "test" } });
assert.deepEqual((await call("ListTagsForResource", { ResourceArn: ProjectArn })).Tags, { stage: "test" });
await fails(
  call("CreateProject", { ProjectName: "birds" }),
  "ResourceInUseException",
  /^Specified resource is in use\. Project birds already exists/,
);
await fails(
  call("CreateProject", { ProjectName: "a b" }),
  "ValidationException",
  /^1 validation error detected: Value 'a b' at 'projectName' failed to satisfy constraint: /,
);
await fails(call("ListCollections"), "AccessDeniedException");
const datasets = await createDatasets(ProjectArn);
const version = await train(ProjectArn);
await run(ProjectArn, version);
await remove(ProjectArn, version, datasets);
