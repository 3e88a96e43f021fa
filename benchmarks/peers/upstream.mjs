// What the JavaScript peers without a gateway share: the schema, and a keep-alive client for the six agencies.
import { readFileSync } from 'node:fs';
import { Agent, request } from 'undici';

const { sdl, agencies } = JSON.parse(readFileSync(process.env.AGENCIES, 'utf8'));
const dispatcher = new Agent({ connections: 64, pipelining: 1, keepAliveTimeout: 60000 });

export const typeDefs = sdl;
export const resolvers = {
  Query: Object.fromEntries(agencies.map(({ holds, port }) => [holds, async (_root, { person }) => {
    const { body } = await request(`http://127.0.0.1:${port}/?person=${encodeURIComponent(person)}`, { dispatcher });
    return (await body.json()).data[holds];
  }])),
};
