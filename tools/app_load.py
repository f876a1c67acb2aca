"""Many visitors at the web page at once: how long they wait, what they are refused, how much memory the server takes minute by minute.

    python tools/app_load.py --visitors 20 --minutes 5 [--json load.json]

The server runs in a process of its own on this computer alone. Each visitor does as the page does in a browser: joins the queue, waits for
the sound, then for the picture; clicks on the map; now and then gives a recording to imitate.
"""
import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import numpy as np

from emotts_nb.audio.io import save_wav

TEXTS = ("네, 정말이에요?", "오늘은 날씨가 참 좋네요.", "3시 30분에 학교 앞에서 만나요.", "그걸 왜 이제야 말하는 거야!")
POLITE = ("full", "try again")  # what is in a polite refusal


class Server:
    "`emotts app` in a process of its own, with a temporary folder of its own."
    def __init__(self, *options: str):
        self.folder = Path(tempfile.mkdtemp(prefix="app_load_"))
        code = f"from emotts_nb.cli import main; main(['app', *{list(options)!r}])"
        self.process = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"TMPDIR": str(self.folder)},
                                        stdout=subprocess.PIPE, stderr=open(self.folder / "stderr", "w"), text=True)
        line = self.process.stdout.readline()
        if not line.startswith("http"): raise SystemExit(f"the page did not start: {line}{(self.folder / 'stderr').read_text()}")
        self.address = line.split()[0].rstrip("/")

    def megabytes(self) -> float:
        "Memory that is resident."
        told = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in told.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024

    def files(self) -> tuple[int, float]:  # (how many, megabytes)
        "What lies in the temporary folder."
        sizes = [p.stat().st_size for p in self.folder.rglob("*") if p.is_file()]
        return len(sizes), sum(sizes) / 1e6

    def log(self) -> str:
        "What was printed on standard error."
        return (self.folder / "stderr").read_text()

    def close(self):
        "End it."
        self.process.terminate()
        self.process.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)


class Visitor:
    "A browser without a screen: one session of the page."
    def __init__(self, address: str, config: dict, name: str):
        self.address, self.session, self.rng = address + config.get("api_prefix", ""), name, random.Random(name)
        self.http = httpx.Client(timeout=180, trust_env=False)
        self.config = config
        self.ids = {c["props"].get("elem_id"): c["id"] for c in config["components"]}
        chooser = next(c for c in config["components"] if c["props"].get("elem_id") == "voice")
        self.voices = [value for _, value in chooser["props"]["choices"]]
        named = {f.get("api_name"): f for f in config["dependencies"]}
        self.speak = named["speak"]
        self.picture = next(f for f in config["dependencies"] if self.ids["picture"] in f["outputs"])
        self.map = next(f for f in config["dependencies"] if [self.ids["map"], "select"] in [list(t) for t in f["targets"]])

    def ask(self, function: dict, data: list, event=None) -> tuple[bool, object]:  # (done, its data or the refusal)
        "Join the queue and wait for the answer, as the page does."
        body = dict(data=data, fn_index=function["id"], session_hash=self.session, event_data=event, trigger_id=None)
        joined = self.http.post(f"{self.address}/queue/join", json=body)
        if joined.status_code != 200: return False, joined.json().get("detail", joined.text)
        with self.http.stream("GET", f"{self.address}/queue/data", params=dict(session_hash=self.session)) as lines:
            for line in lines.iter_lines():
                if not line.startswith("data:"): continue
                told = json.loads(line[5:])
                if told["msg"] == "process_completed":
                    output = told["output"]
                    return told["success"], output.get("data") if told["success"] else output.get("error")
                if told["msg"] == "unexpected_error": return False, told.get("message")
        return False, "the stream ended without an answer"

    def values(self, like=None) -> list:
        "Text, sliders and mixture."
        mix = [round(self.rng.random(), 2) for _ in range(len(self.speak["inputs"]) - 9)]
        rest = [like, *mix, "ko", self.rng.choice(self.voices)]
        return [self.rng.choice(TEXTS), 1.0, self.rng.choice((0.8, 1.0, 1.3)), 0.0, 0.0, self.rng.randrange(5), *rest]

    def upload(self, wave: Path) -> dict:
        "A recording, as the page sends it."
        with open(wave, "rb") as f: got = self.http.post(f"{self.address}/upload", files={"files": (wave.name, f, "audio/wav")})
        if got.status_code != 200: return None
        return dict(path=got.json()[0], meta={"_type": "gradio.FileData"}, orig_name=wave.name)

    def visit(self, wave: Path) -> list[tuple[str, float, bool, str]]:  # (what, seconds, done, refusal)
        "One round: speak, look, click."
        rows = []
        def timed(what, *asked):
            start = time.monotonic()
            try: done, told = self.ask(*asked)
            except httpx.HTTPError as e: done, told = False, f"{type(e).__name__}: {e}"
            rows.append((what, time.monotonic() - start, done, "" if done else str(told)))
            return done
        like = self.upload(wave) if self.rng.random() < 0.1 else None
        if timed("speak", self.speak, self.values(like)): timed("picture", self.picture, [None] * len(self.picture["inputs"]))
        place = dict(index=[self.rng.randrange(360), self.rng.randrange(360)], value=None)
        timed("click", self.map, ["ko", self.voices[0]], place)
        return rows


def load(server: Server, visitors: int, seconds: float) -> dict:
    "Let them all in for so long."
    config = httpx.get(f"{server.address}/config", trust_env=False, timeout=60).json()
    wave = server.folder / "like.wav"
    save_wav(wave, 0.3 * np.sin(np.cumsum(np.linspace(0.05, 0.09, 16000))).astype(np.float32), 16000)
    start, rows, samples, lock = time.monotonic(), [], [], threading.Lock()
    def live(name):
        one = Visitor(server.address, config, name)
        while time.monotonic() < start + seconds:
            found = one.visit(wave)
            with lock: rows.extend((time.monotonic() - start, *row) for row in found)
            if not all(row[2] for row in found): time.sleep(2)
    threads = [threading.Thread(target=live, args=(f"visitor{i:05}",), daemon=True) for i in range(visitors)]
    for t in threads: t.start()
    while (now := time.monotonic() - start) < seconds:
        samples.append((now, server.megabytes(), *server.files()))
        time.sleep(2)
    for t in threads: t.join(200)
    return summary(rows, samples)


def summary(rows: list, samples: list) -> dict:
    "Answers, waits, refusals; memory and files by minute."
    found = {}
    for kind in ("speak", "picture", "click"):
        waits = [w for _, what, w, done, _ in rows if what == kind and done]
        if waits: found[kind] = dict(done=len(waits), median_s=round(float(np.median(waits)), 2),
                                      p95_s=round(float(np.quantile(waits, 0.95)), 2))
    refused = [told for *_, done, told in rows if not done]
    polite = [told for told in refused if any(word in told for word in POLITE)]
    minutes = sorted({int(t // 60) for t, *_ in samples})
    by = [[s for s in samples if int(s[0] // 60) == m] for m in minutes]
    errors = [t for t in refused if t not in polite]
    return dict(answers=found, polite=len(polite), error_count=len(errors), errors=errors[:10],
                memory_mb=[round(float(np.mean([s[1] for s in part]))) for part in by],
                files=[part[-1][2] for part in by], files_mb=[round(part[-1][3], 1) for part in by])


def growth(memory_mb: list[float]) -> float:
    "How much larger the last minute is than the second, as a part of it: the first minute warms up."
    return memory_mb[-1] / memory_mb[1] - 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    server = Server()
    try: found = load(server, args.visitors, 60 * args.minutes) | dict(stderr=server.log()[-2000:])
    finally: server.close()
    if args.json: args.json.write_text(json.dumps(found, ensure_ascii=False, indent=1))
    print(json.dumps(found, ensure_ascii=False, indent=1))
