"""Starts and ends the servers that are measured, talks to them, and looks at what they cost.

Shared by the tools of this folder. Everything listens on loopback; a server's process is ended by its id,
also when a measurement fails. Durations are in the unit that a name says.
"""
import http.client, json, os, platform, re, selectors, shutil, signal, socket, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.abspath(os.path.join(HERE, "../../.."))
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
BINARY = os.path.join(TARGET, "release/durabo")
LIMITS = os.path.join(TARGET, "release/bench-limits")
GUESTS = os.path.join(TARGET, "guests/wasm32-wasip2/release")
PEER = os.path.join(HERE, "../workerd")
# Seconds after which what has not come is taken never to come; far more than a busy machine takes.
DEADLINE = 300


def build(peer=True):
    """Builds what is measured, and installs the peer. Output goes to standard error."""
    run = lambda command, cwd: subprocess.run(command, cwd=cwd, check=True, stdout=sys.stderr)
    run(["cargo", "build", "--release", "-p", "durabo-cli", "-p", "bench-limits"], ROOT)
    packages = ["example-bench", "conformance-sql", "conformance-faults"]
    run(["cargo", "build", "--release", "--target", "wasm32-wasip2", "--target-dir", f"{TARGET}/guests",
         *(word for package in packages for word in ("-p", package))], os.path.join(ROOT, "guests"))
    if peer:
        run([os.path.join(PEER, "setup.sh")], ROOT)


def note(text):
    print(text, file=sys.stderr, flush=True)


class Work:
    """A folder on the disk that is measured, which goes with the measurement."""

    def __enter__(self):
        os.makedirs(TARGET, exist_ok=True)  # not the temporary folder, which may lie in memory
        self.path = tempfile.mkdtemp(prefix="bench-", dir=TARGET)
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def machine():
    """What a reader of figures has to know of this machine."""
    cpu = re.search(r"^model name\s*: (.*)$", open("/proc/cpuinfo").read(), re.M)
    memory = int(re.search(r"MemTotal:\s+(\d+)", open("/proc/meminfo").read())[1])
    mounts = [line.split()[:3] for line in open("/proc/mounts")]
    inside = [m for m in mounts if os.path.commonpath([m[1], TARGET]) == m[1]]
    device, _, kind = max(inside, key=lambda m: len(m[1]))
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True)
    durabo = subprocess.run([BINARY, "--version"], capture_output=True, text=True, check=True)
    return {"cores": os.cpu_count(), "cpu": cpu[1] if cpu else platform.machine(), "memory_gib": round(memory / 2**20),
            "kernel": platform.release(), "file_system": kind, "device": device,
            "durabo": f"{durabo.stdout.strip()} ({commit.stdout.strip() or 'no commit'})",
            "workerd": peer_version(), "max_map_count": int(open("/proc/sys/vm/max_map_count").read())}


def peer_version():
    """Version of the installed peer; None if there is none."""
    folder = os.environ.get("PEER_DIR", os.path.expanduser("~/.cache/peers/workerd"))
    try:
        return json.load(open(f"{folder}/node_modules/workerd/package.json"))["version"]
    except FileNotFoundError:
        return None


def invoked():
    """The command that runs, as a reader would repeat it."""
    words = [word for word in sys.argv[1:] if word != "--no-build"]
    return " ".join([os.path.basename(sys.argv[0]), *words])


def disk_stat(path):
    """The file of counts of the whole disk that `path` lies on; None where the system has none."""
    number = os.stat(path).st_dev
    folder = os.path.realpath(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if os.path.exists(f"{folder}/partition"):
        folder = os.path.dirname(folder)
    return f"{folder}/stat" if os.path.exists(f"{folder}/stat") else None


def memory_kb(pid):
    r = dict(re.findall(r"^(\w+):\s+(\d+) kB", open(f"/proc/{pid}/smaps_rollup").read(), re.M))
    return {"rss_kb": int(r["Rss"]), "anon_kb": int(r["Pss_Anon"])}


def bytes_each(kb, count):
    """Bytes of each of so many; None if there are none, since all had left memory before anybody looked."""
    return round(kb * 1024 / count) if count > 0 else None


class Server:
    """A process that serves HTTP on `port`; as a context manager, it is killed at the end."""

    process = None

    def spawn(self, command, log):
        """Starts the process and notes the moment."""
        with open(log, "a") as out:
            self.log, self.begin = log, time.perf_counter()
            self.process = subprocess.Popen(command, stdout=out, stderr=out)
        return self

    @property
    def pid(self):
        return self.process.pid

    def since_ms(self):
        """Milliseconds since the process was started."""
        return (time.perf_counter() - self.begin) * 1e3

    def wait(self, path, seconds=DEADLINE):
        """Asks for `path` until it is answered with 200; returns the milliseconds since the start."""
        while True:
            try:
                if self.ask("GET", path)[0] == 200:
                    return self.since_ms()
            except (ConnectionError, TimeoutError):
                pass
            if self.process.poll() is not None or self.since_ms() > seconds * 1e3:
                raise SystemExit(f"{self.name} does not serve:\n" + open(self.log).read()[-4000:])
            time.sleep(0.0005)

    def ask(self, method, path, body=None):
        """One request on a connection of its own: status and text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        try:
            connection.request(method, path, body, {"content-type": "application/json"} if body else {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def stop(self, how=signal.SIGTERM):
        """Ends the process and waits; returns the seconds that took."""
        begin = time.perf_counter()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise SystemExit(f"{self.name} did not stop in {DEADLINE} s")
        return time.perf_counter() - begin

    def kill(self):
        """As kill -9."""
        return self.stop(signal.SIGKILL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


class Durabo(Server):
    name, first_path = "durabo", "/readyz"

    def __init__(self, data):
        self.data, self.port, self.control = data, free_port(), free_port()

    def start(self, *limits):
        """Starts it, with limits in the form NAME=VALUE."""
        return self.spawn([BINARY, "serve", "--data", self.data, "--listen", f"127.0.0.1:{self.port}",
                           "--control", f"127.0.0.1:{self.control}", *(f"--limit={limit}" for limit in limits)],
                          self.data + ".log")

    def deploy(self, app, component):
        subprocess.run([BINARY, "deploy", f"{GUESTS}/{component}.wasm", "--app", app, "--data", self.data,
                        "--control", f"127.0.0.1:{self.control}"], check=True, stdout=subprocess.DEVNULL)
        return self

    def status(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.control, timeout=DEADLINE)
        token = open(f"{self.data}/token").read().strip()
        connection.request("GET", "/v1/status", headers={"authorization": f"Bearer {token}"})
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    def path(self, workload, name):
        return f"/o/bench/Obj/{name}/{workload}"


class Workerd(Server):
    name, first_path = "workerd", "/plain"

    def __init__(self, data):
        self.data, self.port = data, free_port()

    def start(self):
        # `serve` becomes the server's process.
        return self.spawn([os.path.join(PEER, "run.sh"), "serve", str(self.port), self.data], self.data + ".log")

    def path(self, workload, name):
        return f"/{workload}/{name}"


class Axum(Server):
    name, first_path = "axum", "/healthz"

    def __init__(self, data):
        self.data, self.port = data, free_port()

    def start(self):
        return self.spawn([LIMITS, "axum", "--listen", f"127.0.0.1:{self.port}"], self.data + ".log")


def request(path, method="GET", body=None):
    """The bytes of a request."""
    text = "" if body is None else json.dumps(body)
    kind = f"content-type: application/json\r\ncontent-length: {len(text)}\r\n" if text else ""
    return f"{method} {path} HTTP/1.1\r\nhost: localhost\r\n{kind}\r\n{text}".encode()


class _Lane:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answer, self.key, self.data, self.sent = b"", None, b"", 0.0


def _complete(answer):
    """The body of a whole answer, or None if there is more to come."""
    head, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        return None
    length = int(re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)[1])
    return body if len(body) >= length else None


def load(port, requests, connections=64, check=None, seconds=None, refused=None):
    """Sends `requests`, pairs of a key and bytes, over many connections, one at a time on each.

    Ends when there are no more or the time is over, and all are answered; one is sent in any case. Every answer must
    be 200, and is handed to `check(key, body)`. With a list `refused`, requests that are answered with 503 are sent again
    and noted there, as a client would do. Returns the sorted latencies in microseconds.
    """
    requests, latencies, begun = iter(requests), [], False
    end = time.perf_counter() + seconds if seconds else None
    with selectors.DefaultSelector() as selector:

        def send_next(lane):
            nonlocal begun
            entry = None if end and begun and time.perf_counter() > end else next(requests, None)
            begun = True
            if entry is None:
                selector.unregister(lane.socket)
                lane.socket.close()
                return
            lane.key, lane.data = entry
            send(lane)

        def send(lane):
            lane.answer, lane.sent = b"", time.perf_counter()
            lane.socket.sendall(lane.data)

        for _ in range(connections):
            lane = _Lane(port)
            selector.register(lane.socket, selectors.EVENT_READ, lane)
            send_next(lane)
        while selector.get_map():
            ready = selector.select(DEADLINE)
            if not ready:
                raise SystemExit(f"no answer for {DEADLINE} s")
            for key, _ in ready:
                lane = key.data
                part = lane.socket.recv(65536)
                lane.answer += part
                body = _complete(lane.answer)
                if body is None:
                    if not part:
                        raise SystemExit(f"{lane.key}: connection closed after {lane.answer!r}")
                    continue
                if lane.answer[9:12] == b"503" and refused is not None and len(refused) < 100_000:
                    refused.append(lane.key)
                    send(lane)
                    continue
                latencies.append((time.perf_counter() - lane.sent) * 1e6)
                if lane.answer[9:12] != b"200":
                    raise SystemExit(f"{lane.key}: {lane.answer[:400]!r}")
                if check:
                    check(lane.key, body)
                send_next(lane)
    return sorted(latencies)


def part(ordered, share):
    """The value below which `share` of sorted values lie."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
