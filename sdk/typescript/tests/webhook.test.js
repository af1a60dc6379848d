// What `Webhook` believes and what it refuses: the published vectors, the public packages both ways, odd input.

import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { InvalidSecretError, isEsimEvent, Webhook, WebhookVerificationError } from "esimhooks";
import { Webhook as Standard } from "standardwebhooks";
import { Webhook as Svix } from "svix";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PUBLIC_KEY = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
const VECTOR = { id: "msg_p5jXN8AQM9LWM0D4loKWxJek", time: 1614265330, body: '{"test": 2432232314}' };
const BODY = JSON.stringify({
  id: "evt_1",
  event: "esim.activated",
  timestamp: "2026-11-23T10:15:30.123Z",
  sequence: 2,
  mode: "live",
  data: { id: "esim_1", transactionId: "order-17", iccid: "8948010000000000001", packageName: "Größe 日本 🌍" },
  fromTheFuture: { kept: true },
});

const webhook = new Webhook(SECRET);
const signed = (body = BODY, more = {}) => webhook.sign(body, { id: "evt_1", ...more });
const now = () => Math.floor(Date.now() / 1000);

async function refusal(verifying) {
  try {
    await verifying;
  } catch (error) {
    assert.ok(error instanceof WebhookVerificationError, String(error?.stack));
    return error.reason;
  }
  return assert.fail("it was believed");
}

for (const [version, key, code] of [
  ["v1", SECRET, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="],
  ["v1a", PUBLIC_KEY, "hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="],
]) {
  test(`the published vector of ${version} verifies, and no other body`, async () => {
    const there = new Webhook(key, { now: () => VECTOR.time * 1000 });
    const headers = {
      "webhook-id": VECTOR.id,
      "webhook-timestamp": String(VECTOR.time),
      "webhook-signature": `v9,bmV3 ${version},${code}`,
    };

    assert.equal((await there.verifySignature(VECTOR.body, headers)).id, VECTOR.id);
    assert.equal(await refusal(there.verifySignature(`${VECTOR.body} `, headers)), "no_matching_signature");
    const renamed = { ...headers, "webhook-signature": `v2,${code}` };
    assert.equal(await refusal(there.verifySignature(VECTOR.body, renamed)), "no_matching_signature");
  });
}

test("a secret without the padding of its base64 is the same secret", async () => {
  const secret = `whsec_${randomBytes(25).toString("base64")}`;
  const headers = await new Webhook(secret).sign(BODY, { id: "evt_1" });

  assert.equal((await new Webhook(secret.replaceAll("=", "")).verify(BODY, headers)).id, "evt_1");
});

for (const [name, Theirs] of [["standardwebhooks", Standard], ["svix", Svix]]) {
  test(`what ${name} signs verifies here, and what is signed here verifies there`, async () => {
    for (let round = 0; round < 30; round += 1) {
      const secret = `whsec_${randomBytes(24 + (round % 40)).toString("base64")}`;
      const [ours, theirs] = [new Webhook(secret), new Theirs(secret)];
      const body = JSON.stringify({ type: "invoice.paid", text: randomBytes(round).toString("latin1") });
      const id = `msg_${round}`;
      const at = new Date((now() - 200 + 10 * round) * 1000);
      const headers = {
        "webhook-id": id,
        "webhook-timestamp": String(at.getTime() / 1000),
        "webhook-signature": theirs.sign(id, at, body),
      };

      const event = await ours.verify(body, headers);

      assert.deepEqual([event.id, event.event], [id, "invoice.paid"]);
      await theirs.verify(body, await ours.sign(body, { id }));
      assert.equal(await refusal(ours.verify(`${body}\n`, headers)), "no_matching_signature");
    }
  });
}

test("an event is typed, and what is not known is kept", async () => {
  const event = await webhook.verify(Buffer.from(BODY), await signed());

  assert.ok(isEsimEvent(event));
  assert.equal(event.data.packageName, "Größe 日本 🌍");
  assert.deepEqual(event.fromTheFuture, { kept: true });
  const reborn = BODY.replace("esim.activated", "esim.reborn");
  assert.ok(!isEsimEvent(await webhook.verify(reborn, await signed(reborn))));
});

test("headers may come in any form", async () => {
  const headers = await signed();
  const pairs = Object.entries(headers);
  const forms = [
    new Headers(headers),
    pairs,
    new Map(pairs),
    Object.fromEntries(pairs.map(([name, value]) => [name.toUpperCase(), [value]])),
    Object.fromEntries(pairs.map(([name, value]) => [name.replace("webhook-", "Svix-"), value])),
  ];

  for (const form of forms) assert.equal((await webhook.verify(BODY, form)).id, "evt_1");
});

test("the body may be a part of a larger buffer", async () => {
  const whole = new TextEncoder().encode(`xx${BODY}yy`);

  assert.equal((await webhook.verify(whole.subarray(2, -2), await signed())).id, "evt_1");
});

test("during a rotation both secrets verify", async () => {
  const old = `whsec_${randomBytes(32).toString("base64")}`;
  const both = new Webhook([SECRET, old]);

  assert.equal((await both.verify(BODY, await new Webhook(old).sign(BODY, { id: "evt_1" }))).id, "evt_1");
  assert.equal((await new Webhook(old).verify(BODY, await both.sign(BODY, { id: "evt_1" }))).id, "evt_1");
});

test("the hex profile verifies, and takes the id from the body since the header is not signed", async () => {
  const acme = new Webhook("a secret", { brand: "Acme" });
  const headers = {
    "X-Acme-Signature": `sha256=${createHmac("sha256", "a secret").update(BODY).digest("hex")}`,
    "X-Acme-Event-Id": "evt_forged",
    "X-Acme-Timestamp": String(now()),
  };

  assert.equal((await acme.verify(BODY, headers)).id, "evt_1");
  assert.equal(await refusal(acme.verify(`${BODY} `, headers)), "no_matching_signature");
  assert.equal(await refusal(acme.verify(BODY, { ...headers, "X-Acme-Signature": "sha256=zz" })), "no_matching_signature");
});

for (const [skew, reason] of [[-302, "timestamp_too_old"], [310, "timestamp_too_new"]]) {
  test(`a request that was signed ${skew} s from now is refused`, async () => {
    assert.equal(await refusal(webhook.verify(BODY, await signed(BODY, { timestamp: now() + skew }))), reason);
  });
}

for (const name of ["webhook-id", "webhook-timestamp", "webhook-signature"]) {
  test(`a request without ${name} is refused`, async () => {
    const { [name]: _, ...rest } = await signed();

    assert.equal(await refusal(webhook.verify(BODY, rest)), "missing_header");
  });
}

test("whatever comes in, nothing but its own error comes out", async () => {
  const headers = await signed();
  const oddBodies = [null, undefined, 7, {}, [], "", new Uint8Array([255, 254, 0])];
  const oddHeaders = [null, undefined, 7, "webhook-id", [], [1], [[1, 2]], {}, { "webhook-id": 7 }, { "webhook-id": [null] }];
  const right = headers["webhook-signature"];
  const oddSignatures = ["v1", ",", "v1,%%%", "v1,YQ==,YQ==", right.replace(",", ""), right.slice(0, -2), "\u0000", "é"];
  const oddTimes = ["soon", "-1", "1e9", "9".repeat(400), "１"];

  for (const body of oddBodies) await refusal(webhook.verify(body, headers));
  for (const odd of oddHeaders) await refusal(webhook.verify(BODY, odd));
  for (const odd of oddSignatures) await refusal(webhook.verify(BODY, { ...headers, "webhook-signature": odd }));
  for (const odd of oddTimes) await refusal(webhook.verify(BODY, { ...headers, "webhook-timestamp": odd }));
});

for (const [body, reason] of [["not json", "body_not_json"], ["[]", "not_an_event"], ['{"id":"evt_1"}', "not_an_event"]]) {
  test(`the signed body ${body} is no event`, async () => {
    assert.equal(await refusal(webhook.verify(body, await signed(body))), reason);
  });
}

const CASES = new URL("../../../tests/receiver_cases/secrets.json", import.meta.url);
for (const { name, secret, refused } of JSON.parse(readFileSync(CASES, "utf8"))) {
  test(`a secret ${name}`, async () => {
    if (refused !== undefined) {
      assert.throws(() => new Webhook(secret), (error) => {
        assert.ok(error instanceof InvalidSecretError);
        assert.ok(error.message.includes(refused), error.message);
        return true;
      });
    } else {
      assert.ok(await new Webhook(secret).sign("", { id: "m" }));
    }
  });
}

const SPELLINGS = new URL("../../../tests/receiver_cases/spellings.json", import.meta.url);
for (const { name, headers, believed } of JSON.parse(readFileSync(SPELLINGS, "utf8"))) {
  test(`spelled otherwise: ${name}`, async () => {
    const [of, hex] = [await signed(), createHmac("sha256", SECRET).update(BODY).digest("hex")];
    const values = {
      "{ID}": of["webhook-id"],
      "{TIMESTAMP}": of["webhook-timestamp"],
      "{SIGNATURE}": of["webhook-signature"],
      "{HEX}": hex,
      "{UPPER_HEX}": hex.toUpperCase(),
    };
    const filled = JSON.parse(JSON.stringify(headers).replace(/\{\w+\}/g, (found) => values[found]));
    const verifying = new Webhook(SECRET, name.startsWith("hex") ? { brand: "Acme" } : {}).verify(BODY, filled);

    if (believed) assert.equal((await verifying).id, "evt_1");
    else await refusal(verifying);
  });
}

test("a body that is still base64 is named as that", async () => {
  const encoded = Buffer.from(BODY).toString("base64");
  assert.equal(await refusal(webhook.verify(encoded, await signed(BODY))), "body_not_bytes");
});

test("what a file adds around a secret does not matter", async () => {
  for (const secret of [`${SECRET}\n`, ` ${SECRET}\r\n`, `\ufeff${SECRET}`]) {
    assert.equal((await new Webhook(secret).verify(BODY, await signed(BODY))).id, "evt_1");
  }
});

const HEADERS = new URL("../../../tests/receiver_cases/headers.json", import.meta.url);
for (const { name, headers } of JSON.parse(readFileSync(HEADERS, "utf8")).filter((one) => !one.name.includes("META"))) {
  test(`headers of ${name} verify`, async () => {
    const of = await signed();
    const values = { "{ID}": of["webhook-id"], "{TIMESTAMP}": of["webhook-timestamp"], "{SIGNATURE}": of["webhook-signature"] };
    const filled = Object.fromEntries(Object.entries(headers).map(([key, value]) => [key, values[value] ?? value]));

    for (const form of [filled, new Headers(filled), new Map(Object.entries(filled))]) {
      assert.equal((await webhook.verify(BODY, form)).id, "evt_1");
      assert.equal(await refusal(webhook.verify(`${BODY} `, form)), "no_matching_signature");
    }
  });
}
