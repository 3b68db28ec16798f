// Bundle MSAL JS for the playground, as an app would: minified, with its licence. Usage: node scripts/bundle.mjs
import { build } from "esbuild";
import { readFileSync } from "node:fs";

const root = new URL("..", import.meta.url).pathname;
const read = (path) => readFileSync(`${root}node_modules/@azure/msal-browser/${path}`, "utf8");
const { version } = JSON.parse(read("package.json"));

await build({
  absWorkingDir: root,
  entryPoints: ["scripts/msal.mjs"],
  outfile: "src/genkan/console/static/msal.js",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
  banner: { js: `/*! @azure/msal-browser ${version}\n\n${read("LICENSE").trim()}\n*/` },
  define: { MSAL_VERSION: JSON.stringify(version) },
  logLevel: "warning",
});
