/**
 * What hides the bodies of records from whoever reads the disk or a backup: ciphers of the
 * operator's, the first of which seals, and all of which open. A sealed body says which record it was
 * and with whose key it can be opened; a process that lacks the key meets a version that it does not
 * know, and leaves it alone. What is found by its names, and what the server or the operator reads,
 * stays as it is. That somebody without a key has written a body is not prevented here.
 */
import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import * as Schema from "effect/Schema";
import { InvalidInput } from "../schema/errors.ts";
import { sealedStart, sealedWith } from "../schema/sealed_record.ts";
import type { Kind } from "./subjects.ts";

/** Hides bytes. Both are called on the way of every record, and so must not wait for anything. */
export interface Cipher {
  /** Stands in everything that it sealed: 1 to 32 of `A-Z a-z 0-9 _ -`. */
  readonly id: string;
  readonly seal: (plain: Uint8Array) => Uint8Array;
  /** Throws, if that was sealed by another or has been changed. */
  readonly open: (sealed: Uint8Array) => Uint8Array;
}

/** A secret of which a cipher is made. */
export interface PayloadKey {
  /** Stands in everything that it sealed: 1 to 32 of `A-Z a-z 0-9 _ -`. */
  readonly id: string;
  /** At least 32 printable ASCII characters, drawn at random. */
  readonly secret: string;
}

/** What a process does to bodies on their way to the log and back. */
export interface Sealing {
  readonly seal: (kind: Kind, body: Uint8Array) => Uint8Array;
  /** The body as it was; one that nobody here can open stays sealed. */
  readonly open: (body: Uint8Array) => Uint8Array;
  /** How large a body may be, so that it can be stored in so many bytes. */
  readonly roomIn: (bytes: number) => number;
  /** The cipher that seals, and a word that it sealed. */
  readonly mark: { readonly id: string; readonly proof: string } | undefined;
  /** Whether a cipher of that id is here, and has sealed that word. */
  readonly isProof: (id: string, proof: string) => boolean;
}

const saltBytes = 16;
const nonceBytes = 12;
const tagBytes = 16;
/** Random nonces of one key must not meet: 2^24 of them do in one of 2^49 cases. */
const usesOfSalt = 2 ** 24;
/** Keys of so many salts are kept; each process has its own. */
const mostSalts = 256;

/** AES-256-GCM with keys that are derived of the secret, a new one for each process. */
export const aes256gcm = ({ id, secret }: PayloadKey): Cipher => {
  if (!/^[\x21-\x7e]{32,1024}$/.test(secret)) {
    const rule = "expected 32 to 1024 printable ASCII characters without spaces";
    throw new InvalidInput({ what: "secret of a payload key", value: id, rule });
  }
  const derived = (salt: Uint8Array): Uint8Array =>
    new Uint8Array(hkdfSync("sha256", secret, salt, "weir payload", 32));
  const keys = new Map<string, Uint8Array>();
  const keyOf = (salt: Buffer): Uint8Array => {
    const name = salt.toString("latin1");
    let key = keys.get(name);
    if (key === undefined) {
      if (keys.size >= mostSalts) keys.delete(keys.keys().next().value!);
      keys.set(name, key = derived(salt));
    }
    return key;
  };
  let salt = randomBytes(saltBytes);
  let key = derived(salt);
  let uses = 0;
  return {
    id,
    seal: (plain) => {
      if (++uses > usesOfSalt) {
        salt = randomBytes(saltBytes);
        key = derived(salt);
        uses = 1;
      }
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv("aes-256-gcm", key, nonce);
      return Buffer.concat([
        salt,
        nonce,
        cipher.update(plain),
        cipher.final(),
        cipher.getAuthTag(),
      ]);
    },
    open: (sealed) => {
      const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
      if (bytes.length < saltBytes + nonceBytes + tagBytes) throw new Error("it is too short");
      const [nonceAt, textAt, tagAt] = [saltBytes, saltBytes + nonceBytes, bytes.length - tagBytes];
      const decipher = createDecipheriv(
        "aes-256-gcm",
        keyOf(bytes.subarray(0, nonceAt)),
        bytes.subarray(nonceAt, textAt),
        { authTagLength: tagBytes },
      );
      decipher.setAuthTag(bytes.subarray(tagAt));
      return Buffer.concat([decipher.update(bytes.subarray(textAt, tagAt)), decipher.final()]);
    },
  };
};

/** What has no payload: who holds what, what operators set, and by what executions are found. */
const openKinds: ReadonlySet<Kind> = new Set<Kind>([
  "lease",
  "worker",
  "floor",
  "subscription",
  "runner",
  "lock",
  "budget",
  "spend",
  "tenant",
  "grant",
  "seat",
  "control",
  "remote",
  "tag",
  "index",
  "lane",
  "gc",
  "cipher",
]);

const asItIs: Sealing = {
  seal: (_, body) => body,
  open: (body) => body,
  roomIn: (bytes) => bytes,
  mark: undefined,
  isProof: () => false,
};
/** What is around the text of a sealed body, and what its cipher adds. */
const aroundBytes = 512;
const word = new TextEncoder().encode("weir");
const ownStart = /^\{"v":\d+,"kind":"(\w{1,64})"/;
const isCipherId = Schema.is(Schema.String.check(Schema.isPattern(/^[\w-]{1,32}$/)));
const decoder = new TextDecoder();

/** What a record says that it is, sealed or not; what we wrote begins with that. */
export const kindOfRecord = (body: Uint8Array): string =>
  ownStart.exec(decoder.decode(body.subarray(0, 96)))?.[1] ?? "bytes";

/** The ciphers of a process; without any, bodies are as they are. Throws why it cannot be these. */
export const sealingOf = (ciphers: ReadonlyArray<Cipher>): Sealing => {
  const [first] = ciphers;
  if (first === undefined) return asItIs;
  const byId = new Map(ciphers.map((cipher) => [cipher.id, cipher]));
  const wrong = ciphers.find(({ id }) => !isCipherId(id));
  if (wrong !== undefined || byId.size < ciphers.length) {
    throw new InvalidInput({
      what: "ids of payload keys",
      value: ciphers.map(({ id }) => id).join(" "),
      rule: "expected 1 to 32 of A-Z a-z 0-9 _ - for each, and another for each",
    });
  }
  return {
    seal: (kind, body) => {
      const isOpen = openKinds.has(kind) || body.length === 0 || sealedWith(body) !== undefined;
      if (isOpen) return body;
      const sealed = Buffer.from(first.seal(body)).toString("base64");
      return Buffer.from(`${sealedStart(kindOfRecord(body), first.id)}${sealed}"}`);
    },
    open: (body) => {
      const found = sealedWith(body);
      const cipher = found && byId.get(found.key);
      if (found === undefined || cipher === undefined) return body;
      try {
        const text = decoder.decode(body.subarray(found.at, -2));
        // No buffer, with its verbs of its own.
        return new Uint8Array(cipher.open(Buffer.from(text, "base64")));
      } catch {
        return body;
      }
    },
    // Three bytes are four in base64.
    roomIn: (bytes) => Math.max(0, Math.floor(bytes * 3 / 4) - aroundBytes),
    mark: { id: first.id, proof: Buffer.from(first.seal(word)).toString("base64") },
    isProof: (id, proof) => {
      try {
        const opened = byId.get(id)?.open(Buffer.from(proof, "base64"));
        return opened !== undefined && Buffer.compare(opened, word) === 0;
      } catch {
        return false;
      }
    },
  };
};

/** Ciphers as `WEIR_PAYLOAD_KEYS` has their keys: `id=secret`, one after another. */
export const ciphersIn = (text: string): ReadonlyArray<Cipher> =>
  text.split(",").map((each) => each.trim()).filter((each) => each !== "").map((each, i) => {
    // What is no id may be a secret.
    const [, id, secret] = /^([\w-]{1,32})=(.{32,})$/.exec(each) ?? [];
    if (id === undefined || secret === undefined) {
      const rule = "expected id=secret, an id of A-Z a-z 0-9 _ - and a secret of 32 or more";
      throw new InvalidInput({ what: "WEIR_PAYLOAD_KEYS", value: `number ${i + 1}`, rule });
    }
    return aes256gcm({ id, secret });
  });
