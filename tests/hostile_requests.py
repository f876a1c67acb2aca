"Requests that no page sends, for a server that stands in the open: what each tries, and the request itself."
import json
import math
import socket
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx

SECRET = "nobody may read this"
ROUTES = ("gradio_api/file=", "file=", "static/", "assets/", "gradio_api/proxy=", "gradio_api/file/", "svelte/", "custom_component/x/y/")
BODIES = (b"", b"{", b"[]", b"null", b"7", b'{"data": 7}', b'{"data": null, "fn_index": -1}', b'{"fn_index": 999, "data": []}', b"\xff\xfe",
          b'{"data": [], "fn_index": "speak", "session_hash": []}', b'{"data": {"a": 1}, "fn_index": 0, "session_hash": null}',
          b'{"data": [[[[[[[[]]]]]]]], "fn_index": 0, "session_hash": "../../x"}', b"[" * 5000)
POSTS = ("queue/join", "call/speak", "run/speak", "api/speak", "component_server", "reset", "cancel", "upload")


class Answer(NamedTuple):
    "What came back: a status and all of the text."
    status: int
    text: str


class Case(NamedTuple):
    "One request."
    kind: str
    what: str
    send: Callable[[str], Answer]  # Takes the server's address


def plain(method: str, path: str, **options) -> Callable[[str], Answer]:
    "A request as httpx makes it."
    def send(address):
        got = httpx.request(method, f"{address}/{path}", timeout=60, trust_env=False, **options)
        return Answer(got.status_code, got.text)
    return send


def raw(text: bytes) -> Callable[[str], Answer]:
    "Bytes on the socket, as no library would send them."
    def send(address):
        host = urlsplit(address)
        with socket.create_connection((host.hostname, host.port), 20) as s:
            s.sendall(text.replace(b"HOST", host.netloc.encode()))
            s.settimeout(20)
            got = b""
            try:
                while (more := s.recv(65536)) and len(got) < 200_000: got += more
            except TimeoutError: pass
        first = got.split(b"\r\n", 1)[0].split()
        return Answer(int(first[1]) if len(first) > 1 else 0, got.decode("utf-8", "replace"))
    return send


def posted(route: str, body: bytes) -> Callable[[str], Answer]:
    "A body; what is let into the queue is waited for."
    def send(address):
        got = plain("POST", f"gradio_api/{route}", content=body, headers={"content-type": "application/json"})(address)
        if got.status != 200 or "event_id" not in got.text: return got
        call = route if route.startswith("call/") else "call/speak"
        return last_event(address, f"{call}/{json.loads(got.text)['event_id']}")
    return send


def last_event(address: str, path: str) -> Answer:
    "How an event ended."
    got = httpx.get(f"{address}/gradio_api/{path}", timeout=120, trust_env=False).text
    kind, told = [line.split(": ", 1)[1] for line in got.strip().splitlines()[-2:]]
    return Answer(200 if kind == "complete" else 400, told)


def pressed(data: list) -> Callable[[str], Answer]:
    "The button, pressed without a page: the last event of its answer."
    def send(address):
        body, headers = json.dumps({"data": data}), {"content-type": "application/json"}
        asked = httpx.post(f"{address}/gradio_api/call/speak", content=body, headers=headers, timeout=60, trust_env=False)
        if asked.status_code != 200: return Answer(asked.status_code, asked.text)
        return last_event(address, f"call/speak/{asked.json()['event_id']}")
    return send


def paths(folder) -> list[str]:
    "Names of files that are not the page's."
    secret = str(folder / "secret.txt")
    return ["/etc/passwd", secret, "README.md", "../../../../etc/passwd", "..%2f..%2f..%2fetc/passwd", "/proc/self/environ",
            "%2e%2e/%2e%2e/etc/passwd", "http://127.0.0.1:1/x", "file:///etc/passwd", "\\etc\\passwd", "....//....//etc/passwd",
            secret.replace("/", "%2f"), "%00", "~/.bashrc", f"{folder}/../{folder.name}/secret.txt", "emotts_nb/assets/voice.safetensors",
            ".git/config"]


def fetching(folder) -> Iterator[Case]:
    "Files of the server, by every route that serves files."
    for route in ROUTES:
        for name in paths(folder): yield Case("path", route + name, plain("GET", route + name))


def bodies() -> Iterator[Case]:
    "What is no request of the page."
    for route in POSTS:
        for body in BODIES:
            yield Case("body", f"{route} {body[:40]!r}", posted(route, body))


def values(text="네.", like=None, mix=(0, 0, 0, 1, 0, 0, 0), intensity=1.0, speed=1.0, seed=0, language="ko", pitch=0.0,
           voice=None) -> list:
    "What the button sends."
    return [text, intensity, speed, pitch, 0.0, seed, like, *mix, language, voice]


def asking() -> Iterator[Case]:
    "Wrong values behind the button."
    for text in ("", " ", "\n\t", "...", "가" * 301, "가" * 50_000, "\u0e2a\u0e2a", "😀", "\x00", [], {}, None):
        yield Case("text", repr(text)[:40], pressed(values(text)))
    for name in ("intensity", "speed", "pitch", "seed"):
        for bad in (math.nan, math.inf, -99, 1e300, "fast", None, [], {}):
            yield Case("number", f"{name}={bad!r}", pressed(values(**{name: bad})))
    for bad in (math.nan, -1, 2, "x", None): yield Case("mixture", repr(bad), pressed(values(mix=[bad, 0, 0, 0, 0, 0, 0])))
    for mix in ([0] * 7, [0] * 6, [0] * 8, []): yield Case("mixture", repr(mix), pressed(values(mix=mix)))
    for bad in ("../x", 7, []): yield Case("voice", repr(bad), pressed(values(voice=bad)))


def recordings(folder) -> Iterator[Case]:
    "Files of the server in place of a recording."
    secret = str(folder / "secret.txt")
    for path in ("/etc/passwd", "README.md", "/proc/self/environ", secret, "http://127.0.0.1:1/a.wav", "", "\0", "/dev/zero"):
        yield Case("recording", path, pressed(values(like={"path": path, "meta": {"_type": "gradio.FileData"}})))
        yield Case("recording", f"url {path}", pressed(values(like={"url": path, "meta": {"_type": "gradio.FileData"}})))
    for like in ("/etc/passwd", 7, [], {"path": 7}, {"a": 1}): yield Case("recording", repr(like), pressed(values(like=like)))


def uploads() -> Iterator[Case]:
    "What is sent in place of a recording."
    big, whole = b"0" * 12_000_000, dict(headers={"content-type": "multipart/form-data; boundary=x"})
    yield Case("upload", "12 MB", plain("POST", "gradio_api/upload", files={"files": ("a.wav", big)}))
    for content in (b"", b"--x", b"--x\r\n\r\n", b"--x\r\nContent-Disposition: form-data\r\n\r\nx\r\n--x--", b"\0" * 500):
        yield Case("upload", repr(content[:30]), plain("POST", "gradio_api/upload", content=content, **whole))
    def endless(): yield from (b"x" * 1000 for _ in range(10))
    yield Case("upload", "no length", lambda address: plain("POST", "gradio_api/upload", content=endless())(address))
    yield Case("upload", "a field, no file", plain("POST", "gradio_api/upload", data={"files": "x"}))


def heads() -> Iterator[Case]:
    "Methods and headers."
    for method in ("PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "X"):
        for path in ("", "gradio_api/queue/join", "gradio_api/upload"): yield Case("method", f"{method} /{path}", plain(method, path))
    for line in (b"Content-Length: -1", b"Content-Length: x", b"Content-Length: 99999999999", b"Content-Length: 5\r\nContent-Length: 6",
                 b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nContent-Length: 3", b"X: " + b"y" * 100_000, b"no colon"):
        start = b"POST /gradio_api/queue/join HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n"
        yield Case("header", repr(line[:40]), raw(start + line + b"\r\n\r\n"))
    long = b"GET /" + b"a" * 100_000 + b" HTTP/1.1"
    for first in (b"GET", b"\x16\x03\x01\x02\x00", long, b"GET /../../etc/passwd HTTP/1.1"):
        yield Case("header", repr(first[:30]), raw(first + b"\r\nHost: HOST\r\nConnection: close\r\n\r\n"))


def all_cases(folder) -> list[Case]:
    "Every one; `folder` holds `secret.txt`."
    return [*fetching(folder), *bodies(), *asking(), *recordings(folder), *uploads(), *heads()]
