// GraphiQL on our own endpoint: POST for questions, server-sent events for subscriptions (graphql-sse, distinct connections).
"use strict";

const ESTATE = `# What a deceased person leaves, from every agency at once.
query Estate($id: ID!) {
  estateCase(id: $id) {
    number
    status
    deceased { name deathDate }
    heirs { person { name } relation share { numerator denominator } }
    answers { agency status asOf expectedBy problems { message } }
    summary { assets debts net complete missing outlook }
    land { answer { status } parcels { address category areaM2 ownershipShare { numerator denominator } assessedValue } }
    deadlines { code dueOn title }
    withheld { coordinate refusal { code message remedy } }
  }
}
`;

const isSubscription = ({ query, operationName }, documentAST) =>
  (documentAST?.definitions ?? []).some(
    (d) => d.kind === "OperationDefinition" && d.operation === "subscription" && (!operationName || d.name?.value === operationName),
  ) || /^\s*subscription\b/.test(query);

// Without a token the graph still tells its schema; an empty one would be refused.
const filledIn = (headers = {}) => Object.fromEntries(Object.entries(headers).filter(([, value]) => !/^\s*(Bearer|DPoP)?\s*$/i.test(value)));

const ask = (params, headers, accept, signal) =>
  fetch("/graphql", {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: accept, ...filledIn(headers) },
    body: JSON.stringify(params),
    signal,
  });

async function* events(params, headers) {
  const stop = new AbortController();
  try {
    const response = await ask(params, headers, "text/event-stream", stop.signal);
    if (!response.headers.get("content-type").startsWith("text/event-stream")) {
      yield await response.json();
      return;
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value;
      const blocks = text.split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        if (block.startsWith("event: complete")) return;
        if (block.startsWith("event: next")) yield JSON.parse(block.slice(block.indexOf("data:") + 5));
      }
    }
  } finally {
    stop.abort();
  }
}

const fetcher = (params, options = {}) =>
  isSubscription(params, options.documentAST)
    ? events(params, options.headers)
    : ask(params, options.headers, "application/graphql-response+json").then((response) => response.json());

ReactDOM.createRoot(document.getElementById("graphiql")).render(
  React.createElement(GraphiQL, {
    fetcher,
    defaultQuery: ESTATE,
    defaultHeaders: '{\n  "Authorization": "Bearer "\n}',
    defaultEditorToolsVisibility: "headers",
    shouldPersistHeaders: false,
  }),
);
