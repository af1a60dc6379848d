// Reads an OpenAPI and an AsyncAPI document and prints as JSON what their own validators say: [{document, rule, message, at}].
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";
import { createConfig, lintFromString } from "@redocly/openapi-core";

const [openapi, asyncapi] = process.argv.slice(2).map((name) => readFileSync(name, "utf8"));

const config = await createConfig({ extends: ["recommended-strict"] });
const problems = (await lintFromString({ source: openapi, config, absoluteRef: "openapi.json" })).map((one) => ({
  document: "openapi",
  rule: one.ruleId,
  message: one.message,
  at: one.location[0]?.pointer,
}));

const WARNING = 1; // above it: remarks, such as that there is a newer version
for (const one of (await new Parser().validate(asyncapi)).filter((one) => one.severity <= WARNING)) {
  problems.push({ document: "asyncapi", rule: one.code, message: one.message, at: `#/${one.path.join("/")}` });
}
console.log(JSON.stringify(problems, null, 1));
