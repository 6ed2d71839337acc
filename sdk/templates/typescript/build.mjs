// `rapport plugin build` runs this after it has written wit/, which holds the contract and the roles that plugin.toml speaks of.
import { componentize } from '@bytecodealliance/componentize-js';
import { build } from 'esbuild';
import { mkdir, writeFile } from 'node:fs/promises';

await mkdir('target', { recursive: true });
await build({
  entryPoints: ['src/plugin.ts'],
  outfile: 'target/plugin.js',
  bundle: true,
  format: 'esm',
  external: ['rapport:*'],
});
const { component } = await componentize({
  sourcePath: 'target/plugin.js',
  witPath: 'wit',
  worldName: 'plugin',
  disableFeatures: ['random', 'stdio', 'clocks', 'http', 'fetch-event'],
});
await writeFile('target/plugin.wasm', component);
