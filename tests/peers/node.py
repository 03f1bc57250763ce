"""A node in a process of its own, for the programs of this folder that check it from outside.

Looks at no timing: what is waited for is asked for until it is so, within a bound.
"""
import json, os, subprocess, sys, time, urllib.error, urllib.request

DEADLINE = 300

# What a node does because a client, a disk or its own thread was slow, which is none of what is checked here.
PATIENCE = [f"{name}=1h" for name in (
    "start_timeout", "section_timeout", "commit_timeout", "http.head_timeout", "http.write_timeout", "http.body_silence_max",
    "http.socket_silence_max", "http.socket_close_timeout")]


class Node:
    """A node on a folder, on ports that it finds itself; ended at the end. It has patience, unless `limits` say otherwise."""

    def __init__(self, binary, folder, *limits):
        self.binary, self.data, self.limits = binary, f"{folder}/data", [f"--limit={limit}" for limit in (*PATIENCE, *limits)]
        self.listen = self.control = "127.0.0.1:0"

    def __enter__(self):
        self.start()
        return self

    def start(self):
        command = [self.binary, "--json", "serve", "--data", self.data, "--listen", self.listen, "--control", self.control]
        self.process = subprocess.Popen([*command, *self.limits], stdout=subprocess.PIPE, text=True)
        try:
            started = json.loads(self.process.stdout.readline())
            self.listen, self.control = started["listen"], started["control"]
        except BaseException:
            self.kill()
            raise

    def __exit__(self, kind, *_):
        self.process.terminate()
        try:
            code = self.process.wait(DEADLINE)
        finally:
            self.kill()  # one that does not end, which is an error by then
        must(code == 0 or kind, f"the node ended with {code}")

    def kill(self):
        """As kill -9. What `start` starts next has the same folder and addresses."""
        self.process.kill()
        self.process.wait(DEADLINE)

    def run(self, *arguments):
        """Standard output of a subcommand, which must succeed."""
        command = [self.binary, *arguments, "--data", self.data, "--control", self.control]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    def deploy(self, app, component, *options):
        print(self.run("deploy", component, "--app", app, *options), end="", file=sys.stderr)

    def listed(self, class_name, object_name):
        """What the list of objects says of one; None if there is none."""
        objects = json.loads(self.run("objects", class_name, "--json"))["objects"]
        return next((entry for entry in objects if entry["name"] == object_name), None)

    def ask(self, method, path, body=None):
        """Status and text of one answer."""
        request = urllib.request.Request(f"http://{self.listen}{path}", method=method,
                                         data=None if body is None else json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.read().decode()

    def call(self, address, method, *args):
        """The result of a call to `app/Class/name`, or its error as a map."""
        status, text = self.ask("POST", f"/rpc/{address}/{method}", list(args))
        return json.loads(text) if status == 200 else json.loads(text)["error"]

    def files(self):
        """Files that the process has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def marked(component, mark, target):
    """Writes the component with a custom section at its end, other bytes with the same code; returns where."""
    name = b"mark"
    section = bytes([len(name)]) + name + bytes([mark])
    with open(component, "rb") as source, open(target, "wb") as file:
        file.write(source.read() + bytes([0, len(section)]) + section)
    return target


def must(condition, text):
    if not condition:
        raise SystemExit(f"wrong: {text}")


def equal(got, wanted, what):
    must(got == wanted, f"{what}: {got!r} in place of {wanted!r}")


def eventually(what, probe):
    """Asks until the answer is neither None nor False; returns it."""
    until = time.monotonic() + DEADLINE
    while (answer := probe()) is None or answer is False:
        must(time.monotonic() < until, f"never: {what}")
        time.sleep(0.02)
    return answer
