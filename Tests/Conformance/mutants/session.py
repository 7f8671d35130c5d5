"""Handshake, Welcome and its limits (HS, LM-1 to LM-3)."""


from . import ending, pipeline, to_broker, to_worker


def stages(content, **members):
    for stage in content["stages"].values():
        stage.update(members)


def limits(content, **members):
    content.setdefault("limits", {}).update(members)


def in_welcome(name, change):
    @to_worker(name, "welcome")
    def _(link, frame):
        change(link, frame.body)


def changed_input(number, value):
    return lambda link, welcome: welcome.each(13, lambda item, _: item.set(number, value))


def changed_output(number, value):
    return lambda link, welcome: welcome.each(14, lambda item, _: item.set(number, value))


in_welcome("welcome-without-a-session", lambda link, welcome: welcome.remove(2))
in_welcome("welcome-without-a-pipeline", lambda link, welcome: welcome.remove(15))
in_welcome("welcome-without-an-instance", lambda link, welcome: welcome.remove(16))
in_welcome("welcome-with-the-instance-of-hello", lambda link, welcome: welcome.set(16, link.hello.get(4, b"") or b"w"))
in_welcome("welcome-with-another-config", lambda link, welcome: welcome.set(12, b"{}" if len(welcome.get(12)) > 2 else b""))
in_welcome("welcome-with-another-upstream", changed_input(2, b"elsewhere"))
in_welcome("welcome-with-another-upstream-port", changed_input(3, b"elsewhere"))
in_welcome("welcome-with-another-ordering", changed_input(6, 1))
in_welcome("welcome-without-bounds-in-records", changed_input(4, 0))
in_welcome("welcome-without-bounds-in-bytes", changed_input(5, 0))
in_welcome("welcome-with-other-input-numbers", lambda link, welcome: welcome.each(13, lambda item, n: item.set(1, n + 3)))
in_welcome("welcome-with-other-output-numbers", lambda link, welcome: welcome.each(14, lambda item, n: item.set(1, n + 3)))
in_welcome("welcome-with-another-port", changed_output(2, b"elsewhere"))
in_welcome("welcome-with-another-heartbeat", lambda link, welcome: welcome.set(9, welcome.get(9) + 1))
in_welcome("welcome-with-another-idle", lambda link, welcome: welcome.set(10, welcome.get(10) + 1))
in_welcome("welcome-with-another-lease", lambda link, welcome: welcome.set(11, welcome.get(11) + 1))
in_welcome("welcome-with-less-reserve", lambda link, welcome: welcome.set(6, welcome.get(6) - 1))
in_welcome("welcome-with-the-ceiling", lambda link, welcome: welcome.set(4, 67_108_864))
in_welcome("welcome-with-all-offers", lambda link, welcome: [
    welcome.add(3, name) for name in link.hello.all(6) if name and name not in welcome.all(3)])
in_welcome("welcome-without-features", lambda link, welcome: welcome.remove(3))
in_welcome("welcome-with-features-nobody-offered", lambda link, welcome: welcome.has(3) or welcome.set(3, b"holds"))
in_welcome("welcome-with-steps-below-a-record", lambda link, welcome: welcome.set(8, welcome.get(5) - 1))
in_welcome("welcome-with-bounds-below-a-record", lambda link, welcome: changed_input(5, welcome.get(5) - 1)(link, welcome))
in_welcome("welcome-with-another-record", lambda link, welcome: welcome.set(5, welcome.get(5) * 2))


@to_worker("welcome-behind-credit", "welcome", "credit")
def _(link, frame):
    if frame.kind == "welcome":
        link.notes.welcome = frame
        return []
    welcome = link.notes.__dict__.pop("welcome", None)
    return [frame, welcome] if welcome else None


@to_worker("welcome-after-the-end", "close")
def _(link, frame):
    if link.hello and not link.welcome and not frame.body.get(1):
        link.sever()
        link.tell_worker("welcome", (1, 1000), (2, 99), (4, 4 << 20), (16, b"w"))


@to_broker("acts-before-hello", "ping", "pong", "credit", "settle", "emit", "extend", "claim", "finished")
def _(link, frame):
    if not link.hello:
        if frame.kind == "ping":
            link.tell_worker("pong", (1, frame.body.get(1)))
        return []


@pipeline("waits-for-hello")
def _(content):
    limits(content, handshake="1h")


@to_broker("hello-below-16-kib-only", "hello")
def _(link, frame):
    if len(frame.encode()) > 8192:
        link.fail(101)
        return []


@to_broker("refuses-unknown-offers", "hello")
def _(link, frame):
    if set(frame.body.all(6)) - {b"holds", b"settle-confirm", b"single-threaded"}:
        link.fail(103)
        return []


@to_broker("takes-unknown-requirements", "hello")
def _(link, frame):
    kept = [item for item in frame.body.items if item[0] != 7 or item[2] in (b"holds", b"settle-confirm", b"single-threaded")]
    frame.body.items = kept


@to_broker("judges-by-the-language", "hello")
def _(link, frame):
    if frame.body.has(10) or frame.body.has(11) or frame.body.has(12) or frame.body.has(13):
        link.fail(103)
        return []


def checked_first(name, code, is_fault):
    """Answers Hello with this code before it looks at anything else."""
    @to_broker(name, "hello")
    def _(link, frame):
        if is_fault(link, frame.body):
            link.fail(code)
            return []


def is_attached(link, hello):
    return any(other.welcome and other.stage == hello.get(3, b"").decode(errors="replace")
               and other.welcome.get(16) == hello.get(4) for other in link.others())


def is_full(link, hello):
    return sum(1 for other in link.others() if other.welcome and not other.is_over and other.hello.get(3) == hello.get(3)) >= 1


checked_first("checks-features-before-the-version", 103, lambda link, hello: b"nonsense" in hello.all(7))
checked_first("checks-the-version-before-the-form", 102, lambda link, hello: hello.get(1) > 1000 or hello.get(2) < 1000)
checked_first("checks-the-stage-before-features", 200, lambda link, hello: hello.get(3) == b"nowhere")
checked_first("checks-the-token-before-the-stage", 106, lambda link, hello: hello.has(9))
checked_first("checks-the-instance-before-the-token", 201, is_attached)
checked_first("checks-the-frame-limit-first", 109, lambda link, hello: 0 < hello.get(8) < 262_144)


@to_worker("stage-full-before-the-instance", "close")
def _(link, frame):
    if frame.body.get(1) == 201 and is_full(link, link.hello):
        frame.body.set(1, 202)


@to_worker("unknown-stage-without-a-list", "close")
def _(link, frame):
    if frame.body.get(1) == 200:
        frame.body.set(2, b"there is no such stage")


@to_broker("cuts-names-to-their-limit", "hello")
def _(link, frame):
    for item in frame.body.items:
        if item[0] in (3, 4, 5, 6, 7, 10, 11) and item[1] == 2:
            item[2] = item[2][:128]


@to_broker("takes-names-below-their-limit-only", "hello")
def _(link, frame):
    if any(len(item[2]) > 127 for item in frame.body.items if item[0] in (3, 4, 5, 10, 11) and item[1] == 2):
        link.fail(111)
        return []


@to_broker("takes-any-instance", "hello")
def _(link, frame):
    """An attached instance is another one."""
    if is_attached(link, frame.body):
        frame.body.set(4, frame.body.get(4) + b"-again")


@pipeline("takes-one-worker-more")
def _(content):
    for stage in content["stages"].values():
        stage["max_workers"] = stage.get("max_workers", 16) + 1


@to_broker("takes-any-frame-limit", "hello")
def _(link, frame):
    frame.body.set(8, 0)


@to_worker("takes-any-frame-limit", "welcome")
def _(link, frame):
    frame.body.set(4, link.hello.get(8) or frame.body.get(4))


@to_broker("takes-a-token-once", "hello")
def _(link, frame):
    token = frame.body.get(9)
    used = link.proxy.__dict__.setdefault("tokens", set())
    if token and token in used:
        link.fail(106)
        return []
    used.add(token)


@to_broker("names-every-instance-alike", "hello")
def _(link, frame):
    if not frame.body.get(4):
        link.notes.is_nameless = True


@to_worker("names-every-instance-alike", "welcome")
def _(link, frame):
    if hasattr(link.notes, "is_nameless"):
        frame.body.set(16, b"worker")
        for other in link.others():
            if hasattr(other.notes, "is_nameless"):
                link.fail(201)
                return []


def environment(name, variable):
    """What the host starts lacks a variable."""
    @pipeline(name)
    def _(content):
        for stage in content["stages"].values():
            if "run" in stage:
                stage["run"] = ["env", "-u", variable, *stage["run"]]


environment("hides-the-socket", "STAGEWIRE_SOCKET")
environment("hides-the-stage", "STAGEWIRE_STAGE")
environment("hides-the-instance", "STAGEWIRE_INSTANCE")
environment("hides-the-token", "STAGEWIRE_TOKEN")


# ---- Another limit than the one that is announced ----

def size(text):
    units = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
    text = str(text)
    return int(text[:-3]) * units[text[-3:]] if text[-3:] in units else int(text.removesuffix("B"))


def other_limit(name, key, default, change, restore):
    """The broker works with `change(limit)`, and Welcome shows what the pipeline says."""
    @pipeline(name)
    def _(content):
        value = size(content.get("limits", {}).get(key, default))
        limits(content, **{key: f"{change(value)}B" if "B" in str(default) else change(value)})
        other_limit.true[name] = value

    if restore:
        @to_worker(name, "welcome")
        def _(link, frame):
            restore(frame.body, other_limit.true[name])


other_limit.true = {}
other_limit("takes-larger-records", "max_record", "1MiB", lambda n: n + 1024, lambda w, n: w.set(5, n))
other_limit("takes-smaller-records-only", "max_record", "1MiB", lambda n: n - 1024, lambda w, n: w.set(5, n))
other_limit("takes-larger-steps", "max_step_bytes", "1MiB", lambda n: n + 4096, lambda w, n: w.set(8, n))
other_limit("takes-smaller-steps-only", "max_step_records", 4096, lambda n: n - 1, lambda w, n: w.set(7, n))
other_limit("takes-steps-of-more-records", "max_step_records", 4096, lambda n: n + 1, lambda w, n: w.set(7, n))
other_limit("lets-more-be-held", "unsettled_records", 4096, lambda n: n * 2, lambda w, n: w.each(13, lambda i, _: i.set(4, n)))
other_limit("lets-more-bytes-be-held", "unsettled_bytes", "4MiB", lambda n: n * 2, lambda w, n: w.each(13, lambda i, _: i.set(5, n)))
other_limit("keeps-more-dead-letters", "dead_letter_records", 10000, lambda n: n + 1, None)


@to_broker("cuts-checkpoints", "emit")
def _(link, frame):
    frame.body.set(4, frame.body.get(4, b"")[:65_536])


@to_broker("cuts-checkpoints-early", "emit")
def _(link, frame):
    frame.body.set(4, frame.body.get(4, b"")[:65_535])


@to_broker("writes-frames-beyond-the-worker's", "hello")
def _(link, frame):
    link.notes.limit = frame.body.get(8)
    frame.body.set(8, 0)


@to_worker("writes-frames-beyond-the-worker's", "welcome")
def _(link, frame):
    if link.notes.limit:
        frame.body.set(4, min(link.notes.limit, frame.body.get(4)))


@to_broker("forgets-that-a-place-is-free", "hello")
def _(link, frame):
    left = link.proxy.__dict__.setdefault("left", set())
    if (frame.body.get(3)) in left:
        link.fail(202)
        return []


@ending("forgets-that-a-place-is-free")
def _(link):
    if link.welcome:
        link.proxy.__dict__.setdefault("left", set()).add(link.hello.get(3))
    return True


