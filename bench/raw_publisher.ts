/**
 * The server's limit: fenced publishes encoded once, written to a bare socket, their acks counted
 * and nothing else. What a client adds on top is measured against this.
 */
import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";

export interface RawPublisher {
  /** Keeps so many publishes in flight for a while; gives how many were acknowledged. */
  readonly run: (inFlight: number, milliseconds: number) => Promise<number>;
  readonly close: () => void;
}

const inbox = "_INBOX.raw";
const ack = Buffer.from(`MSG ${inbox} `);
const refusal = Buffer.from('"error"');

export const rawPublisher = async (
  port: number,
  subject: string,
  fence: { readonly subject: string; readonly revision: number },
  body: Uint8Array,
): Promise<RawPublisher> => {
  const headers = "NATS/1.0\r\n" +
    `Nats-Expected-Last-Subject-Sequence: ${fence.revision}\r\n` +
    `Nats-Expected-Last-Subject-Sequence-Subject: ${fence.subject}\r\n\r\n`;
  const message = Buffer.concat([
    Buffer.from(
      `HPUB ${subject} ${inbox} ${headers.length} ${headers.length + body.length}\r\n${headers}`,
    ),
    body,
    Buffer.from("\r\n"),
  ]);
  const socket = await dial(port);
  let acknowledged: (count: number) => void = () => {};
  let rest: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    const data = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    if (data.includes(refusal)) throw new Error(`refused: ${data.toString().slice(0, 300)}`);
    let count = 0;
    let end = 0;
    for (let at = data.indexOf(ack); at !== -1; at = data.indexOf(ack, end)) {
      count++;
      end = at + ack.length;
    }
    rest = data.subarray(Math.max(end, data.length - ack.length + 1));
    if (count > 0) acknowledged(count);
  });

  const run = (inFlight: number, milliseconds: number) =>
    new Promise<number>((settle) => {
      const many = Buffer.concat(Array.from({ length: inFlight }, () => message));
      let open = true;
      let sent = 0;
      let done = 0;
      const send = (count: number) => {
        sent += count;
        socket.write(many.subarray(0, count * message.length));
      };
      acknowledged = (count) => {
        done += count;
        if (open) send(count);
        else if (done === sent) settle(done);
      };
      setTimeout(() => open = false, milliseconds);
      send(inFlight);
    });
  return { run, close: () => socket.destroy() };
};

const dial = (port: number): Promise<Socket> =>
  new Promise((settle, reject) => {
    const socket = connect(port, "127.0.0.1");
    socket.setNoDelay(true);
    socket.once("error", reject);
    socket.once("data", () => {
      socket.write(`CONNECT {"verbose":false,"headers":true}\r\nSUB ${inbox} 1\r\nPING\r\n`);
      socket.once("data", () => settle(socket));
    });
  });
