#!/usr/bin/env node
/*
 * solc for py-solc-x where no native compiler can be had: reads standard JSON from stdin, compiles it with npm's solc
 * (WebAssembly) and writes the answer to stdout. Answers are cached by the content of everything that was read.
 *
 *   solc_launcher.js <directory of the solc package> <cache directory> --standard-json [--allow-paths a,b]
 */
"use strict";

const crypto = require("crypto");
const fs = require("fs");
const path = require("path");

const CACHE_ENTRIES = 40;

const digest = (text) => crypto.createHash("sha256").update(text).digest("hex");

function canonical(file) {
  try {
    return fs.realpathSync(file);
  } catch {
    return path.resolve(file);
  }
}

/** Contents of the imported files, in the order they were read: what a cached answer depends on besides its input. */
function fingerprint(files) {
  return digest(JSON.stringify(files.map((file) => [file, fs.existsSync(file) ? fs.readFileSync(file, "utf8") : null])));
}

function cached(entry) {
  try {
    const { imports, fingerprint: wanted, output } = JSON.parse(fs.readFileSync(entry, "utf8"));
    if (fingerprint(imports) !== wanted) return null;
    const now = new Date();
    fs.utimesSync(entry, now, now);
    return output;
  } catch {
    return null; // absent or torn: compile
  }
}

function remember(entry, imports, output) {
  const folder = path.dirname(entry);
  fs.mkdirSync(folder, { recursive: true });
  const draft = `${entry}.${process.pid}`;
  fs.writeFileSync(draft, JSON.stringify({ imports, fingerprint: fingerprint(imports), output }));
  fs.renameSync(draft, entry);
  const byAge = fs.readdirSync(folder).map((name) => path.join(folder, name))
    .map((file) => ({ file, at: fs.statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0 })).sort((a, b) => b.at - a.at);
  byAge.slice(CACHE_ENTRIES).forEach(({ file }) => fs.rmSync(file, { force: true }));
}

function compile(packageDir, input, roots) {
  const soljson = require(path.join(packageDir, "soljson.js"));
  // the compiler's runtime installs handlers that print its whole source before they rethrow
  process.removeAllListeners("uncaughtException");
  process.removeAllListeners("unhandledRejection");
  const solc = require(path.join(packageDir, "wrapper.js"))(soljson);
  const imports = [];
  const read = (name) => {
    const file = canonical(name);
    imports.push(file); // one that is missing, too: the answer changes once it is there
    if (!fs.existsSync(file)) return { error: `File not found: ${name}` };
    if (!roots.some((root) => file === root || file.startsWith(root + path.sep))) {
      return { error: `File outside of allowed directories: ${name}` };
    }
    return { contents: fs.readFileSync(file, "utf8") };
  };
  return { output: solc.compile(input, { import: read }), imports };
}

function print(text) {
  const bytes = Buffer.from(text + "\n");
  for (let at = 0; at < bytes.length;) {
    try {
      at += fs.writeSync(1, bytes, at);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error; // a full pipe: try again
    }
  }
}

function main([packageDir, cacheDir, ...options]) {
  if (!options.includes("--standard-json")) {
    process.stderr.write(`unrecognised option '${options[0] ?? ""}': this launcher knows --version and --standard-json\n`);
    process.exit(1);
  }
  const request = JSON.parse(fs.readFileSync(0, "utf8"));
  // Brownie hands the sources over in an order that changes from run to run, and ids in the answer follow that order
  request.sources = Object.fromEntries(Object.entries(request.sources ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)));
  const input = JSON.stringify(request);
  const allowed = options.indexOf("--allow-paths");
  const roots = [process.cwd(), ...(allowed < 0 ? [] : options[allowed + 1].split(","))].filter(Boolean).map(canonical);

  const version = JSON.parse(fs.readFileSync(path.join(packageDir, "package.json"), "utf8")).version;
  const entry = path.join(cacheDir, digest(JSON.stringify([version, roots, input])) + ".json");
  let output = cached(entry);
  if (output === null) {
    const result = compile(packageDir, input, roots);
    output = result.output;
    try {
      remember(entry, result.imports, output);
    } catch (error) {
      process.stderr.write(`cache of the compiler: ${error.message}\n`);
    }
  }
  print(output);
}

main(process.argv.slice(2));
