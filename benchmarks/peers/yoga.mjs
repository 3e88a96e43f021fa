import { createServer } from 'node:http';
import { createSchema, createYoga } from 'graphql-yoga';
import { resolvers, typeDefs } from './upstream.mjs';

const plugins = process.env.JIT ? [(await import('@envelop/graphql-jit')).useGraphQlJit()] : [];
const yoga = createYoga({
  schema: createSchema({ typeDefs, resolvers }), plugins, logging: false, graphiql: false, landingPage: false,
});
createServer(yoga).listen(Number(process.env.PORT), '127.0.0.1');
