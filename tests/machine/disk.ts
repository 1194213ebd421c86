/**
 * A disk of a server's own, whose power can be cut: a file system on a loop device. What the server
 * wrote and nobody synced lies in the kernel's memory, not yet in the file behind the device; so a
 * copy of that file is what a machine finds that has lost its power. It takes a root user.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { scratchFolder, type ScratchServer } from "../fixtures/server.ts";

export interface Disk {
  /** What the server has of it. */
  readonly folder: string;
  /** Everything that was not synced is gone. The server must have been killed before. */
  readonly cutPower: () => void;
  /** Whoever writes or syncs waits, until it is thawed. */
  readonly freeze: () => void;
  readonly thaw: () => void;
  readonly end: () => void;
}

const run = (program: string, ...args: ReadonlyArray<string>): void =>
  void execFileSync(program, args, { stdio: ["ignore", "ignore", "inherit"] });

/** Puts the store of a server on a disk of its own; the server must have been killed before. */
export const diskOf = ({ store }: Pick<ScratchServer, "store">, sizeMiB = 128): Disk => {
  const folder = join(store, "jetstream");
  const image = join(scratchFolder("disk"), "image");
  writeFileSync(image, "");
  truncateSync(image, sizeMiB * 1024 * 1024);
  run("mkfs.ext4", "-q", "-F", image);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  const mount = () => run("mount", "-o", "loop", image, folder);
  mount();
  return {
    folder,
    cutPower: () => {
      copyFileSync(image, `${image}.cut`);
      run("umount", folder);
      renameSync(`${image}.cut`, image);
      mount();
    },
    freeze: () => run("fsfreeze", "--freeze", folder),
    thaw: () => run("fsfreeze", "--unfreeze", folder),
    end: () => run("umount", folder),
  };
};
