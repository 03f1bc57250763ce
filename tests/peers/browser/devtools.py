"""Chromium without a window, and its tabs, over the DevTools protocol.

Runs with the interpreter that has `websockets`. Every wait is for something that happens, within a bound; an error
that a page does not catch ends the program.
"""
import base64, json, os, shutil, subprocess, tempfile

from websockets.sync.client import connect

from node import DEADLINE, eventually, must

# Those about the background keep it from looking for hosts on the internet, and its tabs as quick as the one in front.
FLAGS = ["--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--disable-background-timer-throttling",
         "--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows", "--window-size=900,700"]

# Resolves when the expression is true, which is looked at after every change of the page.
UNTIL = """new Promise((done) => {
  const probe = () => { if (EXPRESSION) { observer.disconnect(); done(true); } };
  const observer = new MutationObserver(probe);
  observer.observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
  probe();
})"""


class Browser:
    """The process, on a profile of its own; ended at the end."""

    def __init__(self, program):
        self.program = program

    def __enter__(self):
        self.profile = tempfile.mkdtemp(prefix="durabo-browser-")
        # The sandbox of its processes does not work as root.
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        command = [self.program, *FLAGS, *root, "--remote-debugging-port=0", f"--user-data-dir={self.profile}", "about:blank"]
        # What it says goes to a file, so that it never waits for a reader.
        with open(f"{self.profile}/said", "w") as said:
            self.process = subprocess.Popen(command, stdout=said, stderr=said)
        try:
            self.socket = connect(self.address(), max_size=None, ping_interval=None, compression=None, open_timeout=DEADLINE)
        except BaseException:
            self.kill()
            raise
        self.count, self.loaded = 0, set()
        return self

    def address(self):
        """Where it listens, which it writes into its profile."""
        def read():
            must(self.process.poll() is None, f"the browser does not start:\n{open(f'{self.profile}/said').read()[-2000:]}")
            try:
                port, path = open(f"{self.profile}/DevToolsActivePort").read().split("\n")
                return f"ws://127.0.0.1:{port}{path}"
            except (FileNotFoundError, ValueError):
                return None
        return eventually("the browser listens", read)

    def __exit__(self, *_):
        try:
            self.socket.close()
            self.process.terminate()
            self.process.wait(DEADLINE)
        finally:
            self.kill()

    def kill(self):
        """Ends it if it still runs, and removes its profile."""
        self.process.kill()
        self.process.wait(DEADLINE)
        shutil.rmtree(self.profile, ignore_errors=True)

    def receive(self):
        message = json.loads(self.socket.recv(DEADLINE))
        if message.get("method") == "Runtime.exceptionThrown":
            must(False, f"a page threw: {described(message['params']['exceptionDetails'])}")
        if message.get("method") == "Page.loadEventFired":
            self.loaded.add(message["sessionId"])
        return message

    def tell(self, method, session=None, **parameters):
        """One command, and what it results in."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        self.socket.send(json.dumps(message))
        try:
            while (answer := self.receive()).get("id") != message["id"]:
                pass
        except TimeoutError:
            must(False, f"never: {method} {parameters.get('expression', '')}")
        must("error" not in answer, f"{method}: {answer.get('error')}")
        return answer["result"]

    def open(self, url):
        return Tab(self, url)


class Tab:
    """A page."""

    def __init__(self, browser, url):
        self.browser = browser
        target = browser.tell("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.tell("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.tell("Runtime.enable")
        self.tell("Page.enable")
        self.tell("Emulation.setFocusEmulationEnabled", enabled=True)
        browser.loaded.discard(self.session)
        answer = self.tell("Page.navigate", url=url)
        must("errorText" not in answer, f"{url}: {answer.get('errorText')}")
        while self.session not in browser.loaded:
            browser.receive()

    def tell(self, method, **parameters):
        return self.browser.tell(method, self.session, **parameters)

    def ask(self, expression):
        """The value of an expression, awaited if it is a promise."""
        answer = self.tell("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        must("exceptionDetails" not in answer, f"{expression[:200]}: {described(answer.get('exceptionDetails', {}))}")
        return answer["result"].get("value")

    def until(self, expression):
        """Returns when the expression is true."""
        must(self.ask(UNTIL.replace("EXPRESSION", expression)), expression)

    def type(self, selector, text):
        """Writes into a field as a keyboard does, and presses Enter."""
        self.tell("Page.bringToFront")
        self.ask(f"document.querySelector({json.dumps(selector)}).focus()")
        self.tell("Input.insertText", text=text)
        for kind, more in (("keyDown", {"text": "\r"}), ("keyUp", {})):
            self.tell("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, **more)

    def screenshot(self, file):
        self.tell("Page.bringToFront")
        with open(file, "wb") as out:
            out.write(base64.b64decode(self.tell("Page.captureScreenshot", format="png")["data"]))


def described(details):
    return details.get("exception", {}).get("description") or details.get("text")
