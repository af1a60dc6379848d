// Calls five operations of a running server with a client whose types were generated, and prints what they answered.
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const [baseUrl, key] = process.argv.slice(2) as [string, string];
const client = createClient<paths>({ baseUrl, headers: { "x-api-key": key } });

const account = await client.POST("/v1/accounts", { body: { name: "TypeScript" } });
const accounts = await client.GET("/v1/accounts", { params: { query: { limit: 100 } } });
const query = { account: account.data!.id, mode: "test" as const };
const made = await client.POST("/v1/endpoints", {
  params: { query },
  body: { url: "https://hooks.example.com/esims", eventTypes: ["esim.activated"] },
});
const path = { endpoint_id: made.data!.id };
const changed = await client.PATCH("/v1/endpoints/{endpoint_id}", { params: { path, query }, body: { timeout: 2.5 } });
const deliveries = await client.GET("/v1/deliveries", { params: { query: { ...query, status: "failed" } } });

console.log(
  JSON.stringify({
    account: account.data!.name,
    accounts: accounts.data!.data.map((one) => one.name),
    secret: made.data!.secret.startsWith("whsec_"),
    timeout: changed.data!.timeout,
    deliveries: deliveries.data!.data.length,
  }),
);
