// Composes the supergraph of the two gateways. Usage: AGENCIES=agencies.json node compose.mjs > supergraph.graphql
import { readFileSync } from 'node:fs';
import { composeServices } from '@apollo/composition';
import { parse } from 'graphql';

const link = 'extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key"])\n';
const { agencies } = JSON.parse(readFileSync(process.env.AGENCIES, 'utf8'));
const composed = composeServices(agencies.map(({ name, port, sdl }) => ({
  name: name.toLowerCase(), url: `http://127.0.0.1:${port}/`, typeDefs: parse(link + sdl),
})));
if (composed.errors?.length) throw new Error(composed.errors.join('\n'));
process.stdout.write(composed.supergraphSdl);
