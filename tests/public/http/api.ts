/**
 * A client of the HTTP door that believes nothing: each answer is held against the document that the
 * door gives of itself, and what was asked for is remembered.
 */
import assert from "node:assert/strict";
import * as Schema from "effect/Schema";
import * as SchemaRepresentation from "effect/SchemaRepresentation";

type Handler = (request: Request) => Promise<Response>;

interface Operation {
  readonly operationId: string;
  readonly "x-weir-access": string;
  readonly "x-weir-control"?: boolean;
  readonly requestBody?: { readonly required: boolean };
  readonly responses: Readonly<
    Record<string, { readonly content: Readonly<Record<string, { readonly schema: object }>> }>
  >;
}

export interface OpenApi {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, object>> };
}

/** An operation of the document, and a path of it. */
export interface Place {
  readonly method: string;
  readonly template: string;
  readonly operation: Operation;
}

export const placesOf = (document: OpenApi): ReadonlyArray<Place> =>
  Object.entries(document.paths).flatMap(([template, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({
      method: method.toUpperCase(),
      template,
      operation,
    }))
  );

export interface AskOptions {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  // deno-lint-ignore no-explicit-any -- it was held against its schema
  readonly body: any;
}

/** Whether a value is what a schema of the document says. */
const holdAgainst = (document: OpenApi) => {
  const local = (json: unknown) =>
    JSON.parse(JSON.stringify(json).replaceAll("#/components/schemas/", "#/$defs/"));
  const definitions = local(document.components.schemas);
  return (schema: object, value: unknown, what: string): void => {
    const found = SchemaRepresentation.fromJsonSchemaDocument({
      dialect: "draft-2020-12",
      schema: local(schema),
      definitions,
    });
    const decode = Schema.decodeUnknownSync(found as unknown as Schema.Decoder<unknown>);
    assert.doesNotThrow(() => decode(value), `${what}: ${JSON.stringify(value)}`);
  };
};

export const client = (
  handler: Handler,
  document: OpenApi,
  standing: Readonly<Record<string, string>> = {},
) => {
  const check = holdAgainst(document);
  const places = placesOf(document).map((place) => ({
    ...place,
    pattern: new RegExp(`^${place.template.replaceAll(/\{\w+\}/g, "[^/]+")}$`),
  }));
  /** The operations that were answered with success. */
  const served = new Set<string>();

  const ask = async (method: string, path: string, options: AskOptions = {}): Promise<Answered> => {
    const { body, headers = {}, signal } = options;
    const hasBody = body !== undefined;
    const response = await handler(
      new Request(`http://weir.test${path}`, {
        method,
        headers: {
          ...standing,
          ...(hasBody ? { "content-type": "application/json" } : {}),
          ...headers,
        },
        ...(hasBody ? { body: JSON.stringify(body) } : {}),
        ...(signal === undefined ? {} : { signal }),
      }),
    );
    const type = response.headers.get("content-type") ?? "";
    const text = type.startsWith("text/event-stream") ? "" : await response.text();
    const answer = type === "application/json" && text !== "" ? JSON.parse(text) : text;
    const pathname = path.split("?")[0]!;
    const asked = method === "HEAD" ? "GET" : method;
    const found = places.find((place) => place.method === asked && place.pattern.test(pathname));
    const what = `${method} ${path} answered ${response.status}`;
    if (response.status >= 400) {
      if (method !== "HEAD") check(document.components.schemas["Problem"]!, answer, what);
    } else {
      assert.ok(found !== undefined, `${what}, and is not in the document`);
      const declared = found.operation.responses[String(response.status)];
      assert.ok(declared !== undefined, `${what}, which is not declared`);
      const schema = declared.content["application/json"]?.schema;
      if (schema !== undefined && method !== "HEAD") check(schema, answer, what);
      served.add(found.operation.operationId);
    }
    return { status: response.status, headers: response.headers, body: answer };
  };

  return { ask, served };
};

export type Client = ReturnType<typeof client>;

export const documentOf = async (
  handler: Handler,
  headers: Readonly<Record<string, string>> = {},
): Promise<OpenApi> => {
  const response = await handler(new Request("http://weir.test/openapi.json", { headers }));
  assert.equal(response.status, 200);
  return await response.json() as OpenApi;
};
