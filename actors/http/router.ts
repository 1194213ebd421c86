/**
 * Finding the route of a request: by its path, segment by segment, then by its method. Segments are
 * decoded once they are apart, so that an id may have slashes, encoded, and cannot climb.
 */
import { invalidRequest, notFound, Refusal, shown } from "./refusal.ts";
import type { Route } from "./route.ts";

export interface Found {
  readonly route: Route;
  readonly path: Readonly<Record<string, string>>;
}

const parameter = /^\{(\w+)\}$/;

const decode = (segment: string): string => {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw invalidRequest(`The part ${shown(segment)} of the path is not percent-encoded UTF-8.`);
  }
};

/** What a path gives for the names in a template; nothing, if it is another path. */
const match = (
  template: ReadonlyArray<string>,
  segments: ReadonlyArray<string>,
): ReadonlyArray<readonly [name: string, segment: string]> | undefined => {
  if (template.length !== segments.length) return undefined;
  const found: Array<readonly [string, string]> = [];
  for (const [i, part] of template.entries()) {
    const segment = segments[i]!;
    const name = parameter.exec(part)?.[1];
    if (name === undefined ? part !== segment : segment === "") return undefined;
    if (name !== undefined) found.push([name, segment]);
  }
  return found;
};

const methodsOf = (routes: ReadonlyArray<{ readonly route: Route }>): ReadonlyArray<string> => [
  ...new Set(
    routes.flatMap(({ route: { method } }) => method === "GET" ? ["GET", "HEAD"] : [method]),
  ),
];

export interface Router {
  /** The methods of a path; none, if there is no such path. */
  readonly methods: (pathname: string) => ReadonlyArray<string>;
  /** The route of a request, or why there is none. */
  readonly find: (method: string, pathname: string) => Found;
}

export const makeRouter = (routes: ReadonlyArray<Route>, base: string): Router => {
  const templates = routes.map((route) => ({ route, template: route.path.split("/") }));

  const among = (pathname: string) => {
    if (!pathname.startsWith(`${base}/`)) return [];
    const segments = pathname.slice(base.length).split("/");
    return templates.flatMap(({ route, template }) => {
      const names = match(template, segments);
      return names === undefined ? [] : [{ route, names }];
    });
  };

  return {
    methods: (pathname) => methodsOf(among(pathname)),
    find: (method, pathname) => {
      const candidates = among(pathname);
      if (candidates.length === 0) {
        throw notFound(`There is nothing at ${shown(pathname)}. Look at ${base}/openapi.json.`);
      }
      const wanted = method === "HEAD" ? "GET" : method;
      const found = candidates.find(({ route }) => route.method === wanted);
      if (found === undefined) {
        const allow = methodsOf(candidates).join(", ");
        throw new Refusal({
          status: 405,
          code: "WEIR_METHOD_NOT_ALLOWED",
          message: `${shown(method)} is refused. Use ${allow}.`,
          headers: { allow },
        });
      }
      const names = found.names.map(([name, segment]) => [name, decode(segment)]);
      return { route: found.route, path: Object.fromEntries(names) };
    },
  };
};
