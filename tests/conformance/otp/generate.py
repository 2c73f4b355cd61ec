"""Seeded random scenarios.

    python -m tests.conformance.otp.generate --seed S --count N [--profile P] > out.jsonl

Scenario i depends only on (seed, i, profile), so any of them can be made again,
and a new seed gives unseen ones.  Profiles: tree, auto, dynamic, proc, gs, registry,
task, or mix (the default).

What is generated is kept to what OTP makes deterministic.  In particular:
  * at most one supervised worker in any group of linked processes, so that one
    crash is never seen by two supervisors (or twice by one) at the same time;
  * only plain processes hold monitors;
  * workers that end promptly get generous shutdown times, workers that hang in
    terminate get very short ones;
  * restart periods far exceed a scenario's duration.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("make",)

Json: TypeAlias = Any

R_STOP: Final[list[Json]] = ["normal", "shutdown", ["shutdown", "t"], "boom", "kill"]
FAILS: Final[list[Json]] = [
    ["stop", "nope"],
    ["raise", "bad"],
    ["exit", "gone"],
    ["start_error", "nope"],
    ["start_raise", "bad"],
    ["bad", "odd"],
    ["stop", ["shutdown", "t"]],
    ["stop", "normal"],
]


class Gen:
    """Makes one scenario."""

    def __init__(self, seed: object, i: int, profile: str) -> None:
        self.r = random.Random(f"{seed}/{i}/{profile}")
        self.profile = profile
        self.reset()

    def reset(self) -> None:
        """Forget what was made, and go on with the random stream."""
        self.nw = self.ns = self.np = 0
        self.workers: dict[str, Json] = {}
        """key -> spec (with "_sup")"""
        self.sups: dict[str, Json] = {}
        """key -> spec"""
        self.procs: dict[str, Json] = {}
        """key -> opts"""
        self.group: dict[str, str] = {}
        """union-find over linked processes"""
        self.has_worker: set[str] = set()
        self.max_workers = 12
        self.down: set[str] = set()
        """keys that are probably not running (a guess, only to aim better)"""
        self.last: str | None = None
        self.last_child: tuple[str, str] | None = None

    # -- chance
    def p(self, x: float) -> bool:
        return self.r.random() < x

    def pick(self, xs: Sequence[Any]) -> Any:
        return self.r.choice(xs)

    def wpick(self, pairs: Sequence[tuple[Any, float]]) -> Any:
        xs, ws = zip(*pairs, strict=True)
        return self.r.choices(xs, ws)[0]

    # -- specs
    def worker(
        self, sup: str, auto: str = "never", key: str | None = None, *, template: bool = False
    ) -> Json:
        if key is None:
            self.nw += 1
            key = f"w{self.nw}"
        w: Json = {"id": key, "type": "worker"}
        r = self.wpick([("permanent", 5), ("transient", 3), ("temporary", 2)])
        if r != "permanent" or self.p(0.7):
            w["restart"] = r
        trap = self.p(0.5)
        if trap:
            w["trap"] = True
        hang = trap and self.p(0.08)
        if hang:
            w["on_terminate"] = "hang"
            w["shutdown"] = self.pick([8, 15, "brutal_kill"])
        else:
            if self.p(0.2):
                w["on_terminate"] = self.pick(
                    [
                        ["exit", "other"],
                        ["exit", "normal"],
                        ["exit", ["shutdown", "late"]],
                        ["raise", "late"],
                        ["throw", "ball"],
                        ["sleep", 3],
                    ]
                )
            sd = self.wpick([(None, 4), (5000, 2), ("infinity", 2), ("brutal_kill", 1.5), (10000, 1)])
            if sd is not None:
                w["shutdown"] = sd
        x = self.r.random()
        if x < 0.10:
            n = self.pick([1, 1, 2, 3])
            w["init"] = ["ok"] + [self.pick(FAILS) for _ in range(n)] + ["ok"]
        elif x < 0.14:
            w["init"] = ["ok", self.pick(FAILS)]
        elif x < 0.17:
            w["init"] = ["ok", "ignore", "ok"]
        elif x < 0.19:
            w["init"] = ["ignore", *self.pick([[], ["ok"]])]
        elif x < 0.20:
            w["init"] = [self.pick(FAILS), *self.pick([[], ["ok"]])]
        if auto != "never" and r != "permanent" and self.p(0.55):
            w["significant"] = True
        elif self.sups.get(sup, {}).get("strategy") not in ("dynamic", "simple_one_for_one") and self.p(
            0.004
        ):
            w["significant"] = True  # often a bad combination
        if not template:
            self.workers[key] = dict(w, _sup=sup)
        return w

    def sup(
        self,
        parent: str | None,
        depth: int,
        auto: str = "never",
        strategy: str | None = None,
        *,
        top: bool = False,
    ) -> Json:
        self.ns += 1
        key = "root" if top else f"s{self.ns}"
        dyn_ok = self.profile == "dynamic" or self.p(0.06)
        if strategy is None:
            kinds = [("one_for_one", 4), ("one_for_all", 3), ("rest_for_one", 3)]
            if dyn_ok:
                kinds += [("dynamic", 4 if top else 6), ("simple_one_for_one", 2)]
            strategy = self.wpick(kinds)
        s: Json = {
            "id": key,
            "type": "supervisor",
            "strategy": strategy,
            "intensity": self.wpick(
                [(0, 0.5), (1, 1.5), (2, 2), (3, 3), (6, 3), (10, 2)]
                if top
                else [(0, 1), (1, 3), (2, 3), (3, 2), (6, 2)]
            ),
            "period": self.pick([60, 300, 3600]),
        }
        if not top:
            r = self.wpick([("permanent", 6), ("transient", 3), ("temporary", 1)])
            if r != "permanent" or self.p(0.5):
                s["restart"] = r
            sd = self.wpick([(None, 6), ("infinity", 2), (8000, 1), ("brutal_kill", 1)])
            if sd is not None:
                s["shutdown"] = sd
            if auto != "never" and s.get("restart", "permanent") != "permanent" and self.p(0.5):
                s["significant"] = True
        self.sups[key] = s
        if strategy == "dynamic":
            if self.p(0.3):
                s["max_children"] = self.r.randint(1, 3)
            return s
        if strategy == "simple_one_for_one":
            t = self.worker(key, key="template", template=True)
            del t["id"]
            t.pop("init", None)
            t.pop("significant", None)
            s["template"] = t
            return s
        a = self.wpick([("never", 8), ("any_significant", 1), ("all_significant", 1)])
        if self.profile == "auto":
            a = self.wpick([("never", 1), ("any_significant", 3), ("all_significant", 4)])
        if a != "never":
            s["auto_shutdown"] = a
        s["children"] = []
        for _ in range(self.wpick([(1, 1), (2, 3), (3, 4), (4, 3), (5, 1)])):
            if depth > 1 and self.p(0.45):
                s["children"].append(self.sup(key, depth - 1, a))
            elif self.nw < self.max_workers:
                s["children"].append(self.worker(key, a))
        return s

    # -- links: union-find, with at most one supervised worker per group
    def find(self, x: str) -> str:
        while self.group.get(x, x) != x:
            x = self.group[x]
        return x

    def may_link(self, a: str, b: str) -> bool:
        a, b = self.find(a), self.find(b)
        return a == b or not (a in self.has_worker and b in self.has_worker)

    def note_link(self, a: str, b: str) -> None:
        a, b = self.find(a), self.find(b)
        if a != b:
            self.group[a] = b
            if a in self.has_worker:
                self.has_worker.add(b)

    def soft(self) -> list[str]:
        return [k for k, w in self.workers.items() if w.get("on_terminate") != "hang"]

    # -- steps
    def crash_act(self) -> Json:
        return self.wpick(
            [
                (["stop", self.pick(R_STOP)], 4),
                (["exit", self.pick(R_STOP)], 3),
                (["raise", "boom"], 5),
                (["throw", "ball"], 0.5),
                (["bad_return", "odd"], 0.5),
            ]
        )

    def target(self, pool: list[str] | None = None) -> str:
        """A worker; often the same as before, so that intensities are reached."""
        ks = list(self.workers) if pool is None else pool
        up = [k for k in ks if k not in self.down]
        if up and self.p(0.93):
            ks = up
        if self.last in ks and self.p(0.45):
            return self.last
        self.last = self.pick(ks)
        return self.last

    def guess_end(self, k: str, reason: Json) -> None:
        r = self.workers[k].get("restart", "permanent")
        if r == "temporary" or (
            r == "transient" and (reason in ("normal", "shutdown") or isinstance(reason, list))
        ):
            self.down.add(k)

    def st_crash(self) -> Json:
        k = self.target()
        if self.workers[k].get("on_terminate") == "hang":
            self.guess_end(k, "killed")
            return {"op": "signal", "to": k, "reason": "kill"}
        act = self.crash_act()
        self.guess_end(k, act[1] if act[0] in ("stop", "exit") else "error")
        return {"op": "do", "who": k, "act": act}

    def st_signal(self) -> Json:
        return {"op": "signal", "to": self.target(), "reason": self.pick(R_STOP)}

    def st_signal_sup(self) -> Json:
        return {
            "op": "signal",
            "to": self.pick(list(self.sups)),
            "reason": self.wpick([("kill", 3), ("shutdown", 1), ("boom", 1)]),
        }

    def st_gs_stop(self) -> Json:
        pool = self.soft() + list(self.sups)
        return {
            "op": "gs_stop",
            "who": self.pick(pool),
            "reason": self.pick(["normal", "shutdown", "boom", ["shutdown", "t"]]),
        }

    def st_call(self) -> Json:
        ks = self.soft()
        if not ks:
            return self.st_count()
        a = self.wpick(
            [
                (["inc"], 3),
                (["get"], 2),
                (["reply", "v"], 1),
                (["throw_reply", "v"], 1),
                (["stop", self.pick(R_STOP)], 2),
                (["stop_reply", self.pick(R_STOP), "v"], 2),
                (["raise", "boom"], 1),
                (["exit", self.pick(R_STOP)], 1),
                (["reply_then_die", "v", self.pick(R_STOP)], 1),
                (["bad_return", "odd"], 0.5),
                (["reply_continue", "v", ["log", 1]], 1),
                (
                    [
                        "reply_continue",
                        "v",
                        self.pick([["stop", "boom"], ["raise", "boom"], ["stop", "normal"]]),
                    ],
                    1,
                ),
            ]
        )
        return {"op": "call", "to": self.target(ks), "act": a}

    def static_sups(self) -> list[str]:
        return [k for k, s in self.sups.items() if s["strategy"] not in ("dynamic", "simple_one_for_one")]

    def dyn_sups(self) -> list[str]:
        return [k for k, s in self.sups.items() if s["strategy"] in ("dynamic", "simple_one_for_one")]

    def st_start_child(self) -> Json:
        dyn = self.dyn_sups()
        if dyn and self.p(0.75) and self.nw < self.max_workers + 6:
            k = self.pick(dyn)
            if self.sups[k]["strategy"] == "simple_one_for_one":
                self.nw += 1
                key = f"w{self.nw}"
                c: Json = {"id": key}
                t = self.sups[k]["template"]
                if self.p(0.3):
                    c["trap"] = self.p(0.5)
                if self.p(0.2):
                    c["init"] = self.pick(
                        [
                            ["ok", self.pick(FAILS), "ok"],
                            ["ignore"],
                            [self.pick(FAILS)],
                            ["ok", self.pick(FAILS)],
                        ]
                    )
                full = dict(t, **c)
                if full.get("on_terminate") == "hang" and not full.get("trap"):
                    c["on_terminate"] = "ok"
                self.workers[key] = dict(t, **c, _sup=k)
                return {"op": "start_child", "sup": k, "child": c}
            if self.p(0.15) and len(self.sups) < 8:
                return {
                    "op": "start_child",
                    "sup": k,
                    "child": self.sup(k, 1, strategy=self.pick(["one_for_one", "one_for_all"])),
                }
            return {"op": "start_child", "sup": k, "child": self.worker(k)}
        ks = self.static_sups()
        if not ks:
            return self.st_count()
        k = self.pick(ks)
        auto = self.sups[k].get("auto_shutdown", "never")
        mine = [w for w in self.workers.values() if w["_sup"] == k]
        gone = [w for w in mine if w["id"] in self.down]
        if (gone and self.p(0.6)) or (mine and self.p(0.15)):  # one it has or had
            w = {a: b for a, b in self.pick(gone or mine).items() if a != "_sup"}
            self.down.discard(w["id"])
            return {"op": "start_child", "sup": k, "child": w}
        if self.p(0.2) and len(self.sups) < 8:
            return {
                "op": "start_child",
                "sup": k,
                "child": self.sup(
                    k, 1, auto, strategy=self.pick(["one_for_one", "one_for_all", "rest_for_one"])
                ),
            }
        return {"op": "start_child", "sup": k, "child": self.worker(k, auto)}

    def child_of(self, k: str) -> str | None:
        ids = [w for w, d in self.workers.items() if d["_sup"] == k]
        ids += [c["id"] for c in self.sups[k].get("children", ()) if c["type"] == "supervisor"]
        return self.pick(ids) if ids else None

    def st_child_op(self, op: str) -> Json:
        pool = list(self.sups) if op == "terminate_child" else self.static_sups()
        if not pool:
            return self.st_count()
        # prefer the child the last operation was about, so that sequences make sense
        last = self.last_child
        c: str | None
        down = [(d["_sup"], w) for w, d in self.workers.items() if w in self.down and d["_sup"] in pool]
        if last and last[0] in pool and self.p(0.4):
            k, c = last
        elif op != "terminate_child" and down and self.p(0.7):
            k, c = self.pick(down)
        else:
            k = self.pick(pool)
            c = self.child_of(k)
        if c is None or (self.p(0.04) and self.sups[k]["strategy"] not in ("dynamic", "simple_one_for_one")):
            if self.sups[k]["strategy"] in ("dynamic", "simple_one_for_one"):
                return self.st_count()
            c = "nobody"
        self.last_child = (k, c)
        if op == "terminate_child":
            self.down.add(c)
        elif op == "restart_child":
            self.down.discard(c)
        return {"op": op, "sup": k, "id": c}

    def st_which(self) -> Json:
        return {"op": "which_children", "sup": self.pick(list(self.sups))}

    def st_count(self) -> Json:
        return {"op": "count_children", "sup": self.pick(list(self.sups))} if self.sups else {"op": "alive"}

    def st_spawn(self) -> Json:
        self.np += 1
        k = f"p{self.np}"
        o: Json = {"op": "spawn", "id": k}
        if self.p(0.5):
            o["trap"] = True
        links = []
        pool = [x for x in list(self.procs) + list(self.workers) if x not in self.down or self.p(0.1)]
        for _ in range(self.pick([0, 1, 1, 2, 3])):
            if pool:
                x = self.pick(pool)
                if self.may_link(k, x) and x not in links:
                    self.note_link(k, x)
                    links.append(x)
        if links:
            o["link"] = links
        pool += list(self.sups)
        mons = [self.pick(pool) for _ in range(self.pick([0, 0, 1, 2, 3]))] if pool else []
        if mons:
            o["monitor"] = mons
        self.procs[k] = o
        return o

    def st_proc(self) -> Json:
        ks = list(self.procs)
        if not ks:
            return self.st_spawn()
        up = [k for k in ks if k not in self.down]
        k = self.pick(up if up and self.p(0.9) else ks)
        x = self.r.random()
        others = [o for o in ks if o != k]
        if x < 0.35:
            self.down.add(k)
            return {
                "op": "do",
                "who": k,
                "act": self.pick([["exit", self.pick(R_STOP)], ["raise", "boom"], ["exit", "boom"]]),
            }
        if x < 0.5:
            return {"op": "signal", "to": k, "reason": self.pick(R_STOP)}
        if x < 0.62 and others:
            o = self.pick(others)
            return {"op": "do", "who": k, "act": ["signal", o, self.pick(R_STOP)]}
        if x < 0.72 and others:
            return {"op": "do", "who": k, "act": ["unlink", self.pick(others)]}
        if x < 0.80:
            pool = [o for o in others + list(self.workers) if o not in self.down]
            o = self.pick(pool) if pool else None
            if o and self.may_link(k, o):
                self.note_link(k, o)
                return {"op": "do", "who": k, "act": ["link", o]}
        if x < 0.88:
            return {"op": "do", "who": k, "act": ["trap", self.p(0.6)]}
        if others and x < 0.95:
            return {
                "op": "do",
                "who": k,
                "act": [self.pick(["monitor", "monitor", "demonitor"]), self.pick(others)],
            }
        if others:
            return {"op": "do", "who": k, "act": ["send", self.pick(others), "hi"]}
        return self.st_spawn()

    # -- registries
    def scenario_registry(self, sc: Json) -> Json:
        unique = self.p(0.55)
        sc["registries"] = [
            {"id": "r", "keys": "unique" if unique else "duplicate", "partitions": self.pick([1, 1, 3])}
        ]
        keys, ps = ["k1", "k2", "k3"], []
        steps = []

        def spawn() -> None:
            self.np += 1
            ps.append(f"p{self.np}")
            steps.append({"op": "spawn", "id": ps[-1], "trap": self.p(0.4)})

        for _ in range(self.r.randint(2, 4)):
            spawn()
        for _ in range(self.r.randint(8, 16)):
            p, k = self.pick(ps), self.pick(keys)
            who = [("register", 10), ("unregister", 3), ("end", 3), ("spawn", 1), ("look", 10)]
            who += [("update_value", 3)] if unique else [("unregister_match", 2), ("dispatch", 2)]
            x = self.wpick(who)
            if x == "register":
                steps.append({"op": "do", "who": p, "act": ["reg", "register", "r", k, self.r.randint(1, 3)]})
            elif x == "unregister":
                steps.append({"op": "do", "who": p, "act": ["reg", "unregister", "r", k]})
            elif x in ("update_value", "unregister_match"):
                steps.append({"op": "do", "who": p, "act": ["reg", x, "r", k, self.r.randint(1, 3)]})
            elif x == "dispatch":
                steps.append({"op": "reg", "args": ["dispatch", "r", k, "hey"]})
            elif x == "end":
                steps.append(
                    self.pick(
                        [
                            {"op": "do", "who": p, "act": ["exit", self.pick(R_STOP)]},
                            {"op": "signal", "to": p, "reason": self.pick(R_STOP)},
                        ]
                    )
                )
            elif x == "spawn":
                spawn()
            else:
                steps.append(
                    {
                        "op": "reg",
                        "args": self.pick(
                            [["lookup", "r", k], ["lookup", "r", k], ["keys", "r", p], ["count", "r"]]
                            + ([["whereis", "r", k]] if unique else [["match", "r", k, self.r.randint(1, 3)]])
                        ),
                    }
                )
        sc["steps"] = (
            steps
            + [{"op": "reg", "args": ["lookup", "r", k]} for k in keys]
            + [{"op": "reg", "args": ["count", "r"]}, {"op": "alive"}]
        )
        return sc

    # -- task supervisors
    def scenario_task(self, sc: Json) -> Json:
        sc["root"] = {
            "id": "root",
            "type": "supervisor",
            "strategy": "task",
            "intensity": self.pick([1, 2, 3, 6]),
            "period": 300,
        }
        if self.p(0.25):
            sc["root"]["max_children"] = self.r.randint(1, 3)
        traps: dict[str, bool] = {}
        steps: list[Json] = []
        tasks: list[str] = []
        n = 0
        for i in range(self.r.randint(2, 4)):
            traps[f"p{i + 1}"] = self.p(0.5)
            steps.append({"op": "spawn", "id": f"p{i + 1}", "trap": traps[f"p{i + 1}"]})
        for _ in range(self.r.randint(6, 12)):
            p = self.pick([k for k in traps if k not in self.down] or list(traps))
            x = self.wpick(
                [
                    ("new", 10),
                    ("end", 8 if tasks else 0),
                    ("owner", 2),
                    ("api", 3),
                    ("await", 4),
                    ("signal", 2 if tasks else 0),
                ]
            )
            if x in ("new", "await"):
                n += 1
                t = f"t{n}"
                how = self.pick(["async", "async_nolink"] + (["start_child"] if x == "new" else []))
                ends = [["return", self.r.randint(1, 9)], ["exit", "normal"]]
                if how != "async" or traps[p]:  # else its owner may die before it answers
                    ends += [
                        ["raise", "boom"],
                        ["exit", "gone"],
                        ["throw", "ball"],
                        ["exit", ["shutdown", "t"]],
                    ]
                o = {}
                if how == "start_child" and self.p(0.5):
                    o["restart"] = self.pick(["transient", "permanent", "temporary"])
                if how != "async" and self.p(0.2):  # linked ones must all end with one reason
                    o["shutdown"] = self.pick(["brutal_kill", 3000])
                if x == "await":
                    if how == "async" and not traps[p]:
                        ends = ends[:1]
                    steps.append(
                        {
                            "op": "do",
                            "who": p,
                            "act": [
                                "seq",
                                [["task", how, t, "root", self.pick(ends), o], ["task_await", t, 5000]],
                            ],
                        }
                    )
                else:
                    script = ["wait"] if self.p(0.75) or o.get("restart") == "permanent" else self.pick(ends)
                    if script == ["wait"]:
                        tasks.append(t)
                    steps.append({"op": "do", "who": p, "act": ["task", how, t, "root", script, o]})
            elif x == "end":
                steps.append(
                    {
                        "op": "do",
                        "who": self.pick(tasks[-3:]),
                        "act": self.pick(
                            [
                                ["return", 1],
                                ["return", 2],
                                ["raise", "boom"],
                                ["exit", "gone"],
                                ["exit", "normal"],
                                ["exit", "shutdown"],
                            ]
                        ),
                    }
                )
            elif x == "signal":
                steps.append(
                    {
                        "op": "signal",
                        "to": self.pick(tasks[-3:]),
                        "reason": self.pick(["kill", "boom", "normal"]),
                    }
                )
            elif x == "owner":
                self.down.add(p)
                steps.append({"op": "do", "who": p, "act": ["exit", self.pick(["normal", "boom"])]})
            else:
                steps.append(
                    self.pick(
                        [{"op": "which_children", "sup": "root"}, {"op": "count_children", "sup": "root"}]
                        + (
                            [{"op": "terminate_child", "sup": "root", "id": self.pick(tasks)}] * 2
                            if tasks
                            else []
                        )
                    )
                )
        sc["steps"] = [
            *steps,
            {"op": "dump"},
            {"op": "parent_exit", "who": "root", "reason": "shutdown"},
            {"op": "alive"},
        ]
        return sc

    # -- whole scenarios
    def scenario(self, name: str) -> Json:
        sc = {"name": name, "tags": ["random", self.profile]}
        if self.profile == "registry":
            return self.scenario_registry(sc)
        if self.profile == "task":
            return self.scenario_task(sc)
        if self.profile == "proc":
            steps = [self.st_spawn() for _ in range(self.r.randint(3, 6))]
            steps += [
                self.st_proc() if self.p(0.85) else self.st_spawn() for _ in range(self.r.randint(4, 10))
            ]
            steps.append({"op": "alive"})
            sc["steps"] = steps
            return sc
        depth = self.wpick([(1, 3), (2, 5), (3, 5)])
        root = None
        while root is None or (not self.workers and not self.dyn_sups()):
            self.reset()
            root = self.sup(None, depth, top=True)
        self.has_worker = set(self.workers)
        sc["root"] = root
        steps = []
        kinds = [
            (self.st_crash, 34),
            (self.st_signal, 10),
            (self.st_signal_sup, 3),
            (self.st_gs_stop, 4),
            (self.st_start_child, 9),
            (lambda: self.st_child_op("terminate_child"), 9),
            (lambda: self.st_child_op("restart_child"), 8),
            (lambda: self.st_child_op("delete_child"), 4),
            (self.st_which, 3),
            (self.st_count, 2),
            (self.st_spawn, 3),
            (self.st_proc, 4),
        ]
        if self.profile == "gs":
            kinds += [(self.st_call, 50)]
        if self.profile == "dynamic":
            kinds += [(self.st_start_child, 22)]
        for _ in range(self.wpick([(5, 1), (8, 2), (11, 3), (14, 4)])):
            f = self.wpick(kinds)
            if not self.workers and f in (self.st_crash, self.st_signal, self.st_gs_stop):
                f = self.st_start_child
            before = set(self.workers)
            s = f()
            self.has_worker.update(set(self.workers) - before)
            steps.append(s)
        steps += [
            {"op": "dump"},
            {
                "op": "parent_exit",
                "who": "root",
                "reason": self.wpick([("shutdown", 6), ("normal", 1), ("boom", 1)]),
            },
            {"op": "alive"},
        ]
        sc["steps"] = steps
        return sc


PROFILES = [
    ("tree", 46),
    ("auto", 12),
    ("dynamic", 15),
    ("gs", 7),
    ("proc", 12),
    ("registry", 4),
    ("task", 4),
]


def make(seed: object, i: int, profile: str = "mix") -> Json:
    """Scenario number ``i`` of a seed."""
    if profile == "mix":
        xs, ws = zip(*PROFILES, strict=True)
        profile = random.Random(f"{seed}/{i}").choices(xs, ws)[0]
    sc = Gen(seed, i, profile).scenario(f"r{seed}_{i:05d}_{profile}")
    text = json.dumps(sc)
    for strategy, tag in (("dynamic", "dynamic"), ("simple_one_for_one", "simple")):
        if f'"strategy": "{strategy}"' in text and tag not in sc["tags"]:
            sc["tags"].append(tag)
    return sc


def main() -> None:
    """Write scenarios, one a line."""
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--seed", default="1")
    ap.add_argument("--count", type=int, default=100)
    ap.add_argument("--start", type=int, default=0)
    ap.add_argument("--profile", default="mix")
    a = ap.parse_args()
    for i in range(a.start, a.start + a.count):
        sys.stdout.write(json.dumps(make(a.seed, i, a.profile), separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
