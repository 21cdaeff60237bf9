// Bundle the page's scripts: `node bundle.mjs FOLDER` writes app.js and boot.js there.
import { build } from "esbuild";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
await build({
  absWorkingDir: here,
  entryPoints: { app: join(here, "src/app.js"), boot: join(here, "src/boot.js") },
  outdir: process.argv[2],
  bundle: true,
  minify: true,
  format: "iife",
  // Browsers that have DecompressionStream, SIMD in WebAssembly, and lookbehind.
  target: ["chrome91", "firefox113", "safari16.4"],
  charset: "ascii",
  legalComments: "none",
  // The runtime takes the glue code that is bundled with it only where its own address is of the
  // page's origin; in a file from the disk no two addresses are. Nothing is ever loaded from here.
  define: {
    "import.meta.url": '"https://page.invalid/app.js"',
    "location.origin": '"https://page.invalid"',
  },
  external: ["module", "worker_threads", "fs", "path", "os", "url", "perf_hooks"],
  logLevel: "warning",
});
