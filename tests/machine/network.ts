/**
 * Networks of a worker's own, which can fail: a network namespace that a pair of interfaces joins to
 * this one. What is lost there is lost without a word, as when a cable is cut: no end reaches the
 * other side, no error this one. It takes a root user and the kernel's queueing disciplines.
 */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import process from "node:process";

/** Which packets are lost: those to the worker, or those from it as well. */
export type Direction = "to worker" | "both";

export interface Link {
  /** The namespace in which a worker runs that has no other way out. */
  readonly network: string;
  /** Where it reaches this side. */
  readonly address: string;
  /** Where this side, and other links that may, reach it. */
  readonly ownAddress: string;
  /** From here on nothing passes between it and the other end of another link, if anything did. */
  readonly part: (other: Pick<Link, "network" | "ownAddress">) => void;
  /** From here on nothing passes. */
  readonly cut: (direction: Direction) => void;
  /** What was parted is joined again. */
  readonly join: (other: Pick<Link, "network" | "ownAddress">) => void;
  /** From here on so many of a hundred packets are lost, in both directions, by chance. */
  readonly lose: (percent: number) => void;
  /** How many were lost in that way so far. */
  readonly lostPackets: () => number;
  /** Everything passes again on the link. */
  readonly heal: () => void;
  readonly end: () => void;
}

const run = (program: string, ...args: ReadonlyArray<string>): void =>
  void execFileSync(program, args, { stdio: ["ignore", "ignore", "inherit"] });

const open = new Set<Link>();
process.on("exit", () => open.forEach((link) => link.end()));

/** Addresses that are nobody's, kept for tests of networks; each link has four of them. */
const addressOf = (index: number, host: number): string => {
  const offset = (index * 4 + host) % (1 << 17);
  return `198.${18 + (offset >> 16)}.${(offset >> 8) & 255}.${offset & 255}`;
};

const hardwareAddress = (): string =>
  ["02", ...randomBytes(5).toString("hex").match(/../g)!].join(":");

/** How a packet is drawn by chance, as the kernel's filters have it: those below a number. */
const drawing = (percent: number): string => {
  const loadRandom = "32 0 0 4294963256";
  const skipIfAbove = `37 1 0 ${Math.floor(percent / 100 * 0xffffffff)}`;
  const lostClass = `6 0 0 ${0x10002}`;
  const noClass = "6 0 0 0";
  return `4,${loadRandom},${skipIfAbove},${lostClass},${noClass}`;
};

/** Makes a namespace and the link to it, over which everything passes. */
export const openLink = (): Link => {
  const name = randomBytes(4).toString("hex");
  const network = `weir-${name}`;
  const [here, there] = [`weir${name}a`, `weir${name}b`] as const;
  const [hereHardware, thereHardware] = [hardwareAddress(), hardwareAddress()];
  const inNetwork = ["-n", network];
  const ends = [{ at: [], device: here }, { at: inNetwork, device: there }] as const;

  const pass = ({ at, device }: typeof ends[number]): void => {
    try {
      execFileSync("tc", [...at, "qdisc", "del", "dev", device, "root"], { stdio: "ignore" });
    } catch {
      // Everything passes there already.
    }
  };
  const heal = () => ends.forEach(pass);
  const link: Link = {
    network,
    address: "",
    ownAddress: "",
    part: (other) => {
      run("ip", ...inNetwork, "route", "add", "blackhole", other.ownAddress);
      run("ip", "-n", other.network, "route", "add", "blackhole", link.ownAddress);
    },
    join: (other) => {
      run("ip", ...inNetwork, "route", "del", "blackhole", other.ownAddress);
      run("ip", "-n", other.network, "route", "del", "blackhole", link.ownAddress);
    },
    cut: (direction) => {
      heal();
      for (const { at, device } of direction === "both" ? ends : ends.slice(0, 1)) {
        run("tc", ...at, "qdisc", "add", "dev", device, "root", "blackhole");
      }
    },
    lose: (percent) => {
      heal();
      for (const { at, device } of ends) {
        const tc = (...args: ReadonlyArray<string>) => run("tc", ...at, ...args);
        const rate = ["htb", "rate", "10gbit", "quantum", "60000"];
        tc("qdisc", "add", "dev", device, "root", "handle", "1:", "htb", "default", "1");
        tc("class", "add", "dev", device, "parent", "1:", "classid", "1:1", ...rate);
        tc("class", "add", "dev", device, "parent", "1:", "classid", "1:2", ...rate);
        // Lost in silence: where the kernel hears of a loss of its own, it forgets who was to connect.
        tc("qdisc", "add", "dev", device, "parent", "1:2", "blackhole");
        tc("filter", "add", "dev", device, "parent", "1:", "bpf", "bytecode", drawing(percent));
      }
    },
    lostPackets: () => {
      const dropped = ends.map(({ at, device }) =>
        /qdisc blackhole .*?dropped (\d+)/s.exec(
          execFileSync("tc", [...at, "-s", "qdisc", "show", "dev", device], { encoding: "utf8" }),
        )
      );
      return dropped.reduce((sum, found) => sum + Number(found?.[1] ?? 0), 0);
    },
    heal,
    end: () => {
      if (open.delete(link)) run("ip", "netns", "del", network);
    },
  };

  run("ip", "netns", "add", network);
  open.add(link);
  const pair = ["address", hereHardware, "type", "veth", "peer", "name", there];
  run("ip", "link", "add", here, ...pair, "address", thereHardware, "netns", network);
  const index = Number(readFileSync(`/sys/class/net/${here}/ifindex`, "utf8"));
  const [hereAddress, thereAddress] = [addressOf(index, 1), addressOf(index, 2)];
  run("ip", "address", "add", `${hereAddress}/30`, "dev", here);
  run("ip", ...inNetwork, "address", "add", `${thereAddress}/30`, "dev", there);
  run("ip", "link", "set", here, "up");
  run("ip", ...inNetwork, "link", "set", there, "up");
  // Links reach each other by way of this side.
  writeFileSync(`/proc/sys/net/ipv4/conf/${here}/forwarding`, "1");
  run("ip", ...inNetwork, "route", "add", "default", "via", hereAddress);
  // Nobody has to ask for them, and so nobody is told that nobody answers.
  run("ip", "neighbour", "add", thereAddress, "lladdr", thereHardware, "dev", here);
  run("ip", ...inNetwork, "neighbour", "add", hereAddress, "lladdr", hereHardware, "dev", there);
  return Object.assign(link, { address: hereAddress, ownAddress: thereAddress });
};

export interface Relay {
  readonly url: string;
  readonly stop: () => Promise<void>;
}

/** Passes on what comes to an address, both ways, each piece so much later, and in order. */
export const startRelay = async (
  address: string,
  serverPort: number,
  delayMs: () => number,
): Promise<Relay> => {
  const sockets = new Set<Socket>();
  const pass = (from: Socket, to: Socket) => {
    const waiting: Array<Uint8Array> = [];
    sockets.add(from);
    from.setNoDelay(true);
    let last = 0;
    from.on("data", (bytes) => {
      waiting.push(bytes as Uint8Array);
      last = Math.max(last, performance.now() + delayMs());
      setTimeout(() => to.write(waiting.shift()!), last - performance.now());
    });
    from.on("error", () => from.destroy());
    from.once("close", () => {
      sockets.delete(from);
      to.destroy();
    });
  };
  const server = createServer((client) => {
    const upstream = connect(serverPort, "127.0.0.1");
    pass(client, upstream);
    pass(upstream, client);
  });
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  return {
    url: `nats://${address}:${(server.address() as AddressInfo).port}`,
    stop: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
};
