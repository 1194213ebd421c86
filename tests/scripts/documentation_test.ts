/** What is written holds together: links lead somewhere, no snippet is left out, proofs are named. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

/** The sources may lie elsewhere, compiled. */
const repository = (folder = dirname(fileURLToPath(import.meta.url))): string =>
  existsSync(join(folder, "README.md")) ? folder : repository(dirname(folder));
const root = repository();

const fence = /^( *)```(.*)\n([^]*?)\n\1```$/gm;

/** What a page says outside of code. */
const prose = (text: string): string => text.replaceAll(fence, "").replaceAll(/`[^`\n]*`/g, "code");

/** The anchors that a page has, as GitHub makes them of its headings. */
const anchors = (text: string): ReadonlySet<string> => {
  const found = new Set<string>();
  for (const [, heading = ""] of text.replaceAll(fence, "").matchAll(/^#+ +(.+)$/gm)) {
    const anchor = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_ -]/gu, "").replaceAll(" ", "-");
    let name = anchor;
    for (let again = 1; found.has(name); again++) name = `${anchor}-${again}`;
    found.add(name);
  }
  return found;
};

interface Link {
  readonly page: string;
  readonly text: string;
  readonly file: string;
  readonly anchor: string | undefined;
}

const linksOf = (page: string, text: string): ReadonlyArray<Link> =>
  [...prose(text).matchAll(/\[([^\]]+)\]\(([^)\s]+)\)/g)].flatMap(([, said = "", target = ""]) => {
    if (/^[a-z]+:/.test(target)) return [];
    const [path = "", anchor] = target.split("#");
    const file = path === "" ? page : join(dirname(page), path);
    return [{ page, text: said.replaceAll(/\s+/g, " "), file, anchor }];
  });

const readMarkdown = async (): Promise<ReadonlyMap<string, string>> => {
  const below = async (folder: string): Promise<ReadonlyArray<string>> =>
    (await readdir(join(root, folder), { recursive: true }))
      .map((name) => join(folder, name))
      .filter((name) => name.endsWith(".md") && !name.includes("node_modules"));
  const top = (await readdir(root)).filter((name) => name.endsWith(".md"));
  const names = [...top, ...await below("docs"), ...await below("examples")];
  return new Map(
    await Promise.all(
      names.map(async (name) => [name, await readFile(join(root, name), "utf8")] as const),
    ),
  );
};

describe("the documentation", () => {
  let pages: ReadonlyMap<string, string>;
  let links: ReadonlyArray<Link>;
  before(async () => {
    pages = await readMarkdown();
    links = [...pages].flatMap(([page, text]) => linksOf(page, text));
    assert.ok(pages.size > 20 && links.length > 80, `${pages.size} pages, ${links.length} links`);
  });

  it("links to what there is", () => {
    const broken = links.filter(({ file }) =>
      relative(root, join(root, file)).startsWith("..") || !existsSync(join(root, file))
    );
    assert.deepEqual(broken.map(({ page, file }) => `${page}: ${file}`), []);
  });

  it("links to headings that there are", () => {
    const broken = links.filter(({ file, anchor }) =>
      anchor !== undefined && !anchors(pages.get(file) ?? "").has(anchor)
    );
    assert.deepEqual(broken.map(({ page, file, anchor }) => `${page}: ${file}#${anchor}`), []);
  });

  it("lists every page in the README", () => {
    const listed = new Set(linksOf("README.md", pages.get("README.md")!).map(({ file }) => file));
    const missing = [...pages.keys()].filter((page) =>
      /^docs\/[^/]+\.md$/.test(page) && !listed.has(page)
    );
    assert.deepEqual(missing, []);
  });

  it("leaves no snippet out: what is marked as TypeScript runs as it stands", () => {
    const wrong = [...pages].flatMap(([page, text]) =>
      [...text.matchAll(fence)].flatMap(([, , language = ""]) =>
        /^(ts|tsx|js|jsx|typescript|javascript)\b/.test(language) && language !== "ts"
          ? [`${page}: ${language}`]
          : []
      )
    );
    assert.deepEqual(wrong, []);
  });

  it("names tests that there are as its proofs", async () => {
    const proofs = links.filter(({ file }) => /^tests\/.*\.ts$/.test(file));
    assert.ok(proofs.length > 40);
    for (const { page, file, text } of proofs) {
      if (text.endsWith(".ts")) continue;
      const source = await readFile(join(root, file), "utf8");
      assert.ok(source.includes(text), `${page}: ${file} has no test "${text}"`);
    }
  });
});
