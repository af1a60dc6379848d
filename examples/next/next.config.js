import { fileURLToPath } from "node:url";

export default {
  serverExternalPackages: ["esimhooks"], // it loads the driver of its inbox when it needs it: leave it out of bundles
  turbopack: { root: fileURLToPath(new URL("../..", import.meta.url)) }, // only here, where the package is a folder beside
};
