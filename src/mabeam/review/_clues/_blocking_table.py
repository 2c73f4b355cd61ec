"""What blocks: the calls and methods that MB102 knows, by their absolute names."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = (
    "CALLS",
    "CLIENTS",
    "FUTURE",
    "METHODS",
    "POOLS",
    "WHOLE_FILE_LOADERS",
    "WHOLE_FILE_READS",
    "Blocking",
    "Kind",
)


class Kind(Enum):
    """What a call waits for; the value says it in a sentence."""

    SLEEP = "sleeps"
    PROCESS = "waits for an OS process"
    THREAD = "waits for another thread"
    NETWORK = "waits for the network"
    RESOLVER = "waits for the name resolver"
    DATABASE = "waits for the database"
    FILE = "waits for the disk"
    TREE = "works through a tree of files"
    REMOVAL = "removes a tree of files"
    TERMINAL = "waits for somebody to type"


@dataclass(frozen=True, slots=True)
class Blocking:
    """Why a call blocks, and what to write instead.

    Attributes:
        kind: what it waits for.
        instead: the sentence of advice.
    """

    kind: Kind
    instead: str


_SLEEP = Blocking(Kind.SLEEP, "Write `await asyncio.sleep(...)`.")
_PROCESS = Blocking(
    Kind.PROCESS,
    "Use `asyncio.create_subprocess_exec` and await its `wait()` or `communicate()`, or `await asyncio.to_thread(...)`.",
)
_REQUESTS = Blocking(
    Kind.NETWORK, "Use an async client (httpx.AsyncClient, aiohttp), or `await asyncio.to_thread(...)`."
)
_SOCKET = Blocking(
    Kind.NETWORK, "Use `asyncio.open_connection`, or the loop's `sock_*` methods on a non-blocking socket."
)
_RESOLVER = Blocking(Kind.RESOLVER, "Write `await loop.getaddrinfo(...)` or `await asyncio.to_thread(...)`.")
_DATABASE = Blocking(
    Kind.DATABASE,
    "Give the database a thread of its own and await it (`asyncio.to_thread`, aiosqlite), or use an async driver.",
)
_FILE = Blocking(Kind.FILE, "Move the whole operation to a thread: `await asyncio.to_thread(...)`.")
_TREE = Blocking(Kind.TREE, _FILE.instead)
_REMOVAL = Blocking(Kind.REMOVAL, _FILE.instead)
_TERMINAL = Blocking(Kind.TERMINAL, "Write `await asyncio.to_thread(input, ...)`.")

_THREAD = Blocking(Kind.THREAD, "Wait in a thread: `await asyncio.to_thread(...)`.")
_QUEUE = Blocking(
    Kind.THREAD, "Use `asyncio.Queue`, fed by `loop.call_soon_threadsafe`, or `await asyncio.to_thread(...)`."
)
_CLIENT = Blocking(
    Kind.NETWORK, "Use the async client of the same library, or `await asyncio.to_thread(...)`."
)

_HTTP_VERBS = ("get", "post", "put", "patch", "delete", "head", "options", "request")
_SQL_CURSOR = ("execute", "executemany", "executescript", "fetchall")


def _all(prefix: str, names: tuple[str, ...], blocking: Blocking) -> dict[str, Blocking]:
    return {f"{prefix}.{name}": blocking for name in names}


CALLS: dict[str, Blocking] = {
    "time.sleep": _SLEEP,
    **_all(
        "subprocess", ("run", "call", "check_call", "check_output", "getoutput", "getstatusoutput"), _PROCESS
    ),
    **_all("os", ("system", "popen", "wait", "wait3"), _PROCESS),
    **_all("requests", _HTTP_VERBS, _REQUESTS),
    **_all("requests.api", _HTTP_VERBS, _REQUESTS),
    **_all("httpx", (*_HTTP_VERBS, "stream"), _REQUESTS),
    **_all("urllib.request", ("urlopen", "urlretrieve"), _REQUESTS),
    "urllib3.request": _REQUESTS,
    "smtplib.SMTP_SSL": _REQUESTS,
    "socket.create_connection": _SOCKET,
    **_all(
        "socket", ("gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getaddrinfo", "getfqdn"), _RESOLVER
    ),
    **_all("concurrent.futures", ("wait", "as_completed"), _THREAD),
    "sqlite3.connect": _DATABASE,
    **dict.fromkeys(
        (
            "psycopg.connect",
            "psycopg2.connect",
            "pymysql.connect",
            "MySQLdb.connect",
            "mysql.connector.connect",
        ),
        _DATABASE,
    ),
    **_all("shutil", ("copy", "copy2", "copyfile", "copyfileobj"), _FILE),
    **_all("shutil", ("copytree", "make_archive", "unpack_archive"), _TREE),
    "shutil.rmtree": _REMOVAL,
    "builtins.input": _TERMINAL,
    "getpass.getpass": _TERMINAL,
}
"""Functions that block when they are called."""

METHODS: dict[str, tuple[frozenset[str], Blocking]] = {
    "subprocess.Popen": (frozenset({"wait", "communicate"}), _PROCESS),
    "threading.Thread": (frozenset({"join"}), _THREAD),
    "multiprocessing.Process": (frozenset({"join"}), _PROCESS),
    **dict.fromkeys(
        ("threading.Event", "threading.Condition", "threading.Barrier"), (frozenset({"wait"}), _THREAD)
    ),
    **dict.fromkeys(
        (
            "queue.Queue",
            "queue.SimpleQueue",
            "queue.LifoQueue",
            "queue.PriorityQueue",
            "multiprocessing.Queue",
        ),
        (frozenset({"get"}), _QUEUE),
    ),
    "requests.Session": (frozenset({*_HTTP_VERBS, "send"}), _REQUESTS),
    "requests.session": (frozenset({*_HTTP_VERBS, "send"}), _REQUESTS),
    "httpx.Client": (frozenset({*_HTTP_VERBS, "send", "stream"}), _REQUESTS),
    "urllib3.PoolManager": (frozenset({"request", "urlopen"}), _REQUESTS),
    "http.client.HTTPConnection": (frozenset({"connect", "request", "getresponse"}), _REQUESTS),
    "http.client.HTTPSConnection": (frozenset({"connect", "request", "getresponse"}), _REQUESTS),
    "sqlite3.connect": (frozenset({*_SQL_CURSOR, "commit"}), _DATABASE),
    "pathlib.Path": (frozenset({"read_text", "read_bytes", "write_text", "write_bytes"}), _FILE),
    "socket.socket": (frozenset({"accept", "connect", "recv", "recv_into", "recvfrom", "sendall"}), _SOCKET),
}
"""Methods that block, by what made the object."""

_S3 = (
    "put_object",
    "get_object",
    "head_object",
    "delete_object",
    "copy_object",
    "list_objects",
    "list_objects_v2",
)
_S3_FILES = ("upload_file", "upload_fileobj", "download_file", "download_fileobj")
_QUEUES = (
    "send_message",
    "receive_message",
    "publish",
    "invoke",
    "put_item",
    "get_item",
    "update_item",
    "query",
    "scan",
)
_REDIS = (
    *(
        "get",
        "set",
        "setex",
        "mget",
        "mset",
        "delete",
        "exists",
        "expire",
        "incr",
        "decr",
        "keys",
        "scan",
        "publish",
        "ping",
    ),
    *(
        "hget",
        "hset",
        "hgetall",
        "lpush",
        "rpush",
        "lpop",
        "rpop",
        "blpop",
        "brpop",
        "sadd",
        "smembers",
        "xadd",
        "xread",
    ),
)
_MONGO = (
    *(
        "find_one",
        "insert_one",
        "insert_many",
        "update_one",
        "update_many",
        "delete_one",
        "delete_many",
        "replace_one",
    ),
    *("count_documents", "find_one_and_update", "bulk_write"),
)

CLIENTS: dict[str, tuple[frozenset[str], Blocking]] = {
    **dict.fromkeys(
        ("openai.OpenAI", "openai.AzureOpenAI", "anthropic.Anthropic"),
        (frozenset({"create", "parse", "generate"}), _CLIENT),
    ),
    "boto3.client": (
        frozenset({*_S3, *_S3_FILES, *_QUEUES}),
        Blocking(Kind.NETWORK, "Use `await asyncio.to_thread(...)`, or an async client."),
    ),
    **dict.fromkeys(
        ("redis.Redis", "redis.StrictRedis", "redis.from_url", "redis.Redis.from_url"),
        (
            frozenset(_REDIS),
            Blocking(Kind.DATABASE, "Use `redis.asyncio`, which has the same methods to await."),
        ),
    ),
    "pymongo.MongoClient": (
        frozenset(_MONGO),
        Blocking(Kind.DATABASE, "Use `pymongo.AsyncMongoClient`, which has the same methods to await."),
    ),
}
"""Methods that block on a client, or on anything reached from it: ``client.chat.completions.create``."""

POOLS = frozenset({"concurrent.futures.ThreadPoolExecutor", "concurrent.futures.ProcessPoolExecutor"})
"""What ``submit`` is called on, so that the ``result()`` of its future waits for another thread."""

FUTURE = Blocking(
    Kind.THREAD, "Await it: `await loop.run_in_executor(pool, ...)`, or `await asyncio.wrap_future(future)`."
)
"""What the result of a thread's future is."""

WHOLE_FILE_READS = (frozenset({"read", "readlines"}), _FILE)
"""Methods of an open file that read all of it when they are called without a size."""

WHOLE_FILE_LOADERS = frozenset(
    {
        "json.load",
        "pickle.load",
        "tomllib.load",
        "marshal.load",
        "plistlib.load",
        "yaml.safe_load",
        "yaml.load",
    }
)
"""Functions that read a whole open file given to them."""
