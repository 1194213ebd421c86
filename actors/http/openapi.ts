/**
 * The OpenAPI 3.1 document of a route table, whose schemas are those that check the requests. It says
 * nothing that the table does not, and is made when it is first asked for.
 */
import * as JsonSchema from "effect/JsonSchema";
import * as Schema from "effect/Schema";
import { ProblemAnswer } from "./answers.ts";
import type { Described, Route } from "./route.ts";

type Definitions = Record<string, unknown>;

/** A schema as a reference into the document, whose definitions are collected. */
const collector = (definitions: Definitions) =>
(
  schema: Schema.Top,
  onExcessProperty: "ignore" | "error",
): unknown => {
  const document = Schema.toJsonSchemaDocument(schema, { onExcessProperty });
  const { schemas, definitions: found } = JsonSchema.toMultiDocumentOpenApi3_1({
    dialect: document.dialect,
    schemas: [document.schema],
    definitions: document.definitions,
  });
  Object.assign(definitions, found);
  return schemas[0];
};

type Collect = ReturnType<typeof collector>;

const contentOf = ({ schema, mediaType }: Described, collect: Collect) => {
  if (schema !== undefined) return { "application/json": { schema: collect(schema, "ignore") } };
  return mediaType === undefined ? {} : { [mediaType]: { schema: { type: "string" } } };
};

const parametersOf = (route: Route, collect: Collect): ReadonlyArray<unknown> => {
  const inPath = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    description: name === "id"
      ? "The id, percent-encoded as one segment: order%2Fo-1 for order/o-1"
      : undefined,
    schema: { type: "string" },
  }));
  const fields = route.query === undefined
    ? {}
    : (route.query as unknown as Schema.Struct<Schema.Struct.Fields>).fields;
  const inQuery = Object.entries(fields).map(([name, field]) => {
    // As it is meant: a number is written as one in a query, too.
    const schema = collect(Schema.toType(field), "ignore");
    return { name, in: "query", required: false, schema };
  });
  const inHeader = Object.entries(route.headers ?? {}).map(([name, description]) => ({
    name,
    in: "header",
    required: false,
    description,
    schema: { type: "string" },
  }));
  return [...inPath, ...inQuery, ...inHeader];
};

const problem = (collect: Collect) => ({
  description: "It is refused, or failed; `code` says why",
  content: { "application/json": { schema: collect(ProblemAnswer, "ignore") } },
});

const operationOf = (route: Route, collect: Collect) => ({
  operationId: route.verb,
  summary: route.summary,
  tags: [route.verb.split(".")[0]],
  "x-weir-access": route.access,
  ...(route.steers === true ? { "x-weir-control": true } : {}),
  ...(route.access === "anybody" ? { security: [] } : {}),
  parameters: parametersOf(route, collect),
  ...(route.body === undefined ? {} : {
    requestBody: {
      required: !route.isBodyOptional,
      content: { "application/json": { schema: collect(route.body, "error") } },
    },
  }),
  responses: {
    ...Object.fromEntries(
      Object.entries(route.answers).map(([status, answer]) => [
        status,
        { description: answer.description, content: contentOf(answer, collect) },
      ]),
    ),
    default: problem(collect),
  },
});

/** The document of these routes, which are served below a base. */
export const openApiOf = (routes: ReadonlyArray<Route>, base: string, version: string): unknown => {
  const definitions: Definitions = {};
  const collect = collector(definitions);
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const operations = paths[route.path] ??= {};
    operations[route.method.toLowerCase()] = operationOf(route, collect);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Weir",
      version,
      description: "Durable executions on NATS JetStream. GET is answered to HEAD as well.",
    },
    servers: [{ url: base === "" ? "/" : base }],
    security: [{ bearer: [] }],
    paths,
    components: {
      schemas: definitions,
      securitySchemes: { bearer: { type: "http", scheme: "bearer" } },
    },
  };
};
