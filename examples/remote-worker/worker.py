"""A remote worker of Weir in Python, with nothing but the standard library.

    NATS_URL=nats://127.0.0.1:4222 python3 worker.py [identity]

It serves the remote actor `transcribe`: each line of the input, slowly, in capital letters. What it
says to Weir is JSON over core NATS; docs/remote-actors.md describes all of it.
"""

import json
import os
import queue
import signal
import socket
import sys
import threading
import time
import urllib.parse
import uuid

URL = urllib.parse.urlparse(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"))
ROOT = f"{os.environ.get('WEIR_NAMESPACE', 'weir')}-remote.{os.environ.get('WEIR_TENANT', 'default')}"
INBOX = f"{os.environ.get('NATS_INBOX_PREFIX', '_INBOX')}.{uuid.uuid4().hex}"
HEARTBEAT_MS = int(os.environ.get("HEARTBEAT_MS", "2000"))
WAIT_MS = 5_000


class NoAnswer(Exception):
    """Nobody answered; the same request may be answered later."""


class Refused(Exception):
    def __init__(self, error):
        super().__init__(error["message"])
        self.code = error["code"]


class Nats:
    """As much of the NATS protocol as requests need; it connects anew whenever it is cut off."""

    def __init__(self):
        self.lock = threading.Lock()
        self.waiting = {}
        self.socket, self.max_payload = None, 0
        threading.Thread(target=self.stay_connected, daemon=True).start()

    def stay_connected(self):
        while True:
            try:
                connection = socket.create_connection((URL.hostname, URL.port or 4222), 5)
                connection.settimeout(None)
                self.read(connection)
            except (OSError, ValueError):
                pass
            self.socket = None
            time.sleep(0.2)

    def read(self, connection):
        stream = connection.makefile("rb")
        self.max_payload = json.loads(stream.readline()[len("INFO "):])["max_payload"]
        options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True,
                   "name": "a remote worker", "lang": "python", "version": "1", "protocol": 1}
        if URL.username is not None:
            secrets = [urllib.parse.unquote(each or "") for each in (URL.username, URL.password)]
            options.update(zip(("user", "pass"), secrets))
        connection.sendall(f"CONNECT {json.dumps(options)}\r\nSUB {INBOX}.* 1\r\n".encode())
        self.socket = connection
        while True:
            line = stream.readline()
            if not line:
                raise OSError("the server has closed the connection")
            words = line.split()
            if words[:1] == [b"PING"]:
                with self.lock:
                    connection.sendall(b"PONG\r\n")
            elif words[:1] == [b"-ERR"]:
                print(line.decode().strip(), file=sys.stderr)
            elif words[:1] == [b"MSG"]:  # MSG subject sid [reply] size
                body = stream.read(int(words[-1]) + 2)[:-2]
                self.hear(words[1], body)
            elif words[:1] == [b"HMSG"]:  # what has headers says that nobody is there
                stream.read(int(words[-1]) + 2)
                self.hear(words[1], None)

    def hear(self, subject, body):
        answers = self.waiting.get(subject.decode())
        if answers is not None:
            answers.put(body)

    def request(self, subject, body, seconds):
        inbox, answers = f"{INBOX}.{uuid.uuid4().hex}", queue.Queue()
        self.waiting[inbox] = answers
        try:
            data = json.dumps(body).encode()
            with self.lock:
                if self.socket is None:
                    raise NoAnswer()
                if len(data) > self.max_payload:  # the server would hang up
                    raise Refused({"code": "too_large", "message": f"{len(data)} bytes"})
                self.socket.sendall(f"PUB {subject} {inbox} {len(data)}\r\n".encode() + data + b"\r\n")
            answer = answers.get(timeout=seconds)
        except (OSError, queue.Empty):
            answer = None
        finally:
            del self.waiting[inbox]
        if answer is None:
            raise NoAnswer()
        return json.loads(answer)


class LeaseLost(Exception):
    """Somebody else has the step, or nobody wants it any more: stop, and say nothing."""


class Step:
    def __init__(self, worker, given):
        self.worker, self.given, self.is_lost = worker, given, False
        self.held = {"step": given["step"], "fence": given["fence"]}

    def say(self, verb, **more):
        try:
            self.worker.ask(verb, session=self.worker.session, **self.held, **more)
        except Refused as refused:
            if refused.code in ("lease_lost", "not_registered"):
                raise LeaseLost() from refused
            raise

    def report(self, progress):
        """Stores how far it has come, for who may have to go on."""
        if self.is_lost:
            raise LeaseLost()
        self.say("report", progress=progress)


class Worker:
    def __init__(self, identity, actors):
        self.identity, self.actors, self.nats = identity, actors, Nats()
        self.session, self.step, self.is_stopping = None, None, False

    def ask(self, verb, seconds=2.0, **body):
        """Asks until somebody answers: whatever is asked here may be asked again."""
        while True:
            try:
                answer = self.nats.request(f"{ROOT}.{verb}", body, seconds)
            except NoAnswer:
                time.sleep(0.2)
                continue
            if answer["ok"]:
                return answer
            if not answer["error"]["retryable"]:
                raise Refused(answer["error"])
            time.sleep(0.2)

    def register(self):
        self.session = self.ask("register", identity=self.identity, heartbeatMs=HEARTBEAT_MS,
                                capabilities=sorted(self.actors))["session"]
        log("registered", worker=self.identity)

    def keep_alive(self):
        while True:
            time.sleep(HEARTBEAT_MS / 1000)
            step, session = self.step, self.session
            try:
                answer = self.ask("heartbeat", session=session, steps=[step.held] if step else [])
                if step is not None and answer["lost"]:
                    step.is_lost = True
            except Refused:  # it was away for too long, and what it had is lost
                if step is not None:
                    step.is_lost = True

    def run(self):
        self.register()
        threading.Thread(target=self.keep_alive, daemon=True).start()
        while not self.is_stopping:
            try:
                given = self.ask("claim", WAIT_MS / 1000 + 2, session=self.session, waitMs=WAIT_MS)
            except Refused as refused:
                if refused.code != "not_registered":
                    raise
                self.register()
                continue
            if given["step"] is not None:
                self.work(Step(self, given["step"]))
        self.ask("deregister", session=self.session)

    def work(self, step):
        given = step.given
        log("claimed", execution=given["execution"], fence=given["fence"], progress=given["progress"])
        self.step = step
        try:
            try:
                output = self.actors[given["name"]](given["input"], step)
                step.say("finish", output=output)
            except LeaseLost:
                raise
            except Exception as error:  # what the work failed with is for whoever asked for it
                step.say("fail", error={"name": type(error).__name__, "message": str(error),
                                        "retryable": not isinstance(error, ValueError)})
                log("failed", execution=given["execution"], fence=given["fence"])
                return
            log("finished", execution=given["execution"], fence=given["fence"])
        except LeaseLost:
            log("lost", execution=given["execution"], fence=given["fence"])
        finally:
            self.step = None


def log(what, **more):
    print(json.dumps({"what": what, **more}), flush=True)


def transcribe(given, step):
    """One line after the other; who goes on begins behind what was reported."""
    done = step.given["progress"] or []
    for line in given["lines"][len(done):]:
        if line == "":
            raise ValueError("a line is empty")
        time.sleep(given.get("secondsPerLine", 0))
        done = done + [line.upper()]
        step.report(done)
    return {"text": "\n".join(done)}


if __name__ == "__main__":
    name = sys.argv[1] if len(sys.argv) > 1 else f"{socket.gethostname()}-{os.getpid()}"
    worker = Worker(name, {"transcribe": transcribe})
    signal.signal(signal.SIGTERM, lambda *_: setattr(worker, "is_stopping", True))
    worker.run()
