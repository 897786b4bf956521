// The official SDK against the sandbox: the life of an upload, and the class of
// each error. It prints one line for each thing that holds, and fails with the
// first that does not.
//   node check.mjs BASE_URL FILE
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createReadStream, readFileSync, statSync } from "node:fs";
import { File } from "node:buffer";

globalThis.File ??= File; // Node 18 has none
const { default: OpenAI, toFile } = await import("openai");

const [baseURL, file] = process.argv.slice(2);
const apiKey = process.env.OPENAI_API_KEY;
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const patient = new OpenAI({ baseURL, apiKey, maxRetries: 3 });
const bytes = statSync(file).size;
const whole = readFileSync(file);
const creation = { filename: "training.jsonl", purpose: "fine-tune", bytes, mime_type: "text/jsonl" };
const holds = (what) => console.log("ok", what);

// The life of an upload, its parts as buffers, sent side by side.
{
  const upload = await client.uploads.create({ ...creation, expires_after: { anchor: "created_at", seconds: 3600 } });
  assert.equal(upload.object, "upload");
  assert.equal(upload.status, "pending");
  assert.equal(upload.bytes, bytes);
  assert.ok(upload.expires_at > upload.created_at);
  const half = bytes >> 1;
  const parts = await Promise.all(
    [whole.subarray(0, half), whole.subarray(half)].map(async (data, i) =>
      client.uploads.parts.create(upload.id, { data: await toFile(data, `part${i}`) }),
    ),
  );
  for (const part of parts) {
    assert.equal(part.object, "upload.part");
    assert.equal(part.upload_id, upload.id);
  }
  const done = await client.uploads.complete(upload.id, {
    part_ids: parts.map((p) => p.id),
    md5: createHash("md5").update(whole).digest("hex"),
  });
  assert.equal(done.status, "completed");
  assert.equal(done.file.object, "file");
  assert.equal(done.file.bytes, bytes);
  assert.equal(done.file.filename, creation.filename);
  assert.equal(done.file.purpose, creation.purpose);
  assert.equal(done.file.status, "processed");
  assert.ok(done.file.expires_at >= done.file.created_at + 3600);
  assert.ok(done._request_id);
  holds("create, two parts, complete");
}

// A stream, whose length the SDK does not tell, with each purpose of newer days.
for (const purpose of ["user_data", "evals"]) {
  const upload = await client.uploads.create({ ...creation, purpose });
  const part = await client.uploads.parts.create(upload.id, { data: createReadStream(file) });
  const done = await client.uploads.complete(upload.id, { part_ids: [part.id] });
  assert.equal(done.file.purpose, purpose);
  holds(`a part from createReadStream, ${purpose}`);
}

// Cancel, and what is refused after it.
{
  const upload = await client.uploads.create(creation);
  assert.equal((await client.uploads.cancel(upload.id)).status, "cancelled");
  const data = await toFile(whole, "part");
  await refused(OpenAI.BadRequestError, 400, () => client.uploads.parts.create(upload.id, { data }));
  await refused(OpenAI.BadRequestError, 400, () => client.uploads.complete(upload.id, { part_ids: ["part_x"] }));
  holds("cancel");
}

async function refused(kind, status, call) {
  await assert.rejects(call, (err) => {
    assert.ok(err instanceof kind, `${err} is no ${kind.name}`);
    assert.equal(err.status, status);
    assert.ok(err.requestID, "the error has no request id");
    assert.ok(err.error.message, "the error has no message");
    return true;
  });
}

// Every class of error that the calls can meet. The faults are the server's.
const stranger = new OpenAI({ baseURL, apiKey: "nobody's", maxRetries: 0 });
await refused(OpenAI.AuthenticationError, 401, () => stranger.uploads.create(creation));
await refused(OpenAI.BadRequestError, 400, () => client.uploads.create({ ...creation, purpose: "storage" }));
await refused(OpenAI.NotFoundError, 404, () => client.uploads.cancel("upload_nothere"));
await refused(OpenAI.PermissionDeniedError, 403, () => client.uploads.create({ ...creation, filename: "403" }));
await refused(OpenAI.ConflictError, 409, () => client.uploads.create({ ...creation, filename: "409" }));
await refused(OpenAI.UnprocessableEntityError, 422, () => client.uploads.create({ ...creation, filename: "422" }));
await refused(OpenAI.RateLimitError, 429, () => client.uploads.create({ ...creation, filename: "429" }));
await refused(OpenAI.InternalServerError, 503, () => client.uploads.create({ ...creation, filename: "503" }));
holds("classes of errors");

// What passes, the SDK tries again by itself.
assert.equal((await patient.uploads.create(creation)).status, "pending");
holds("retries");
