import functools
import gc
import gzip
import hashlib
import http.server
import threading
import warnings
from pathlib import Path

import pytest

import gapgym
from gapgym.experiments import cli
from gapgym.instances import FAMILIES, cache, job_shop, registry
from gapgym.instances.cache import Entry
from gapgym.instances.job_shop_files import normalise, to_text

# The library that downloads leaves its sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache folder."""
    monkeypatch.setenv("GAPGYM_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def shop():
    return gapgym.load("job_shop/uniform-4x3-s1")


def published(shop):
    """A shop as a source might publish it: with comments and other white space."""
    lines = to_text(shop).splitlines()
    return "# a shop\n" + "\r\n".join(f"  {line.replace(' ', '   ')} " for line in lines) + "\n\n"


@pytest.fixture
def server(tmp_path):
    """A web server for the files of a folder; gives the folder and its address."""
    source = tmp_path / "source"
    source.mkdir()
    handler = functools.partial(QuietHandler, directory=str(source))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        yield source, f"http://127.0.0.1:{web.server_port}"
        web.shutdown()
        thread.join()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def entry_of(shop, url="http://127.0.0.1:9/shop.txt"):
    digest = hashlib.sha256(to_text(shop).encode()).hexdigest()
    return Entry("job_shop/instances/mine/mine.txt", digest, "MIT", url)


def family_of(entry):
    return registry.family(entry.file.partition("/")[0])


@pytest.fixture
def manifest(monkeypatch):
    """Puts entries into the place of the manifest."""

    def put(*entries):
        monkeypatch.setattr(cache, "_manifest", lambda: entries)

    return put


@pytest.fixture
def run(capfd):
    def command(*arguments):
        code = cli.run([str(argument) for argument in arguments])
        return code, *capfd.readouterr()

    return command


def test_the_manifest_names_each_content_once_and_its_source():
    entries = cache.entries()
    assert set(entries) == {entry for name in FAMILIES for entry in cache.entries(name)}
    assert cache.entries("no_family") == ()
    assert len({entry.file for entry in entries}) == len(entries)
    assert len({entry.sha256 for entry in entries}) == len(entries)
    for entry in entries:
        assert entry.file.partition("/")[0] in FAMILIES
        assert callable(family_of(entry).normalise)
        assert len(entry.sha256) == 64
        assert entry.url.startswith("https://")
        assert entry.licence


def test_a_file_is_kept_in_normal_form(folder, shop):
    entry = entry_of(shop)
    assert not cache.is_cached(entry)
    kept = cache.store(entry, published(shop).encode(), normalise)
    assert kept == folder / entry.file
    assert kept.read_text() == to_text(shop)
    assert cache.is_cached(entry)
    assert cache.path(entry, normalise) == kept  # nothing is fetched
    assert job_shop.read(kept) == shop


def test_gzipped_content_is_unpacked(folder, shop):
    kept = cache.store(entry_of(shop), gzip.compress(published(shop).encode()), normalise)
    assert job_shop.read(kept) == shop


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"1 1\n0 3\n", "SHA-256 [0-9a-f]{64}, expected [0-9a-f]{64}"),
        (b"\xff\xfe\x00", "expected text or gzipped text"),
        (b"\x1f\x8b\x08 cut off", "expected text or gzipped text"),
        (b"no shop", "expected an integer"),
    ],
)
def test_other_content_is_refused_and_not_kept(folder, shop, data, message):
    with pytest.raises(ValueError, match=f"mine.txt.*{message}"):
        cache.store(entry_of(shop), data, normalise)
    assert not [path for path in folder.rglob("*") if path.is_file()]


def test_a_file_is_fetched_once(folder, shop, server):
    source, address = server
    (source / "shop.txt.gz").write_bytes(gzip.compress(published(shop).encode()))
    entry = entry_of(shop, f"{address}/shop.txt.gz")
    assert job_shop.read(cache.path(entry, normalise)) == shop
    (source / "shop.txt.gz").unlink()
    assert job_shop.read(cache.path(entry, normalise)) == shop


def test_a_source_that_does_not_answer_is_one_line(folder, shop, server):
    entry = entry_of(shop, f"{server[1]}/nowhere.txt")
    with pytest.raises(ValueError, match=r"mine.txt: not in .*gapgym data import") as caught:
        cache.path(entry, normalise)
    assert "\n" not in str(caught.value)
    assert not cache.is_cached(entry)


def test_the_folder_is_the_users_cache_unless_told_otherwise(folder, monkeypatch):
    assert cache.folder() == folder
    monkeypatch.delenv("GAPGYM_DATA")
    assert cache.folder().name == "gapgym"


def test_data_list_fetch_and_list_again(folder, shop, server, manifest, run):
    source, address = server
    (source / "shop.txt").write_text(published(shop))
    manifest(entry_of(shop, f"{address}/shop.txt"))
    code, out, _ = run("data", "list")
    assert code == 0
    assert out.splitlines()[0].startswith("missing  job_shop/instances/mine/mine.txt  MIT  http:")
    assert "0 of 1 files" in out
    for pattern in ("job_shop", "mine", "*/mine/*", "mi*"):
        assert "1 files" in run("data", "list", pattern)[1]
    code, out, _ = run("data", "fetch", "mine")
    assert code == 0
    assert "1 fetched, 0 were in" in out
    assert "0 fetched, 1 were in" in run("data", "fetch")[1]
    assert "cached" in run("data", "list")[1]
    assert job_shop.read(folder / "job_shop/instances/mine/mine.txt") == shop


def test_data_fetch_says_in_one_line_what_it_did_not_get(folder, shop, server, manifest, run):
    manifest(entry_of(shop, f"{server[1]}/nowhere.txt"))
    code, out, err = run("data", "fetch")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("gapgym: job_shop/instances/mine/mine.txt: not in")


def test_data_import_recognises_files_by_content(folder, shop, tmp_path, manifest, run):
    manifest(entry_of(shop))
    downloads = tmp_path / "downloads" / "deep"
    downloads.mkdir(parents=True)
    (downloads / "whatever.gz").write_bytes(gzip.compress(published(shop).encode()))
    (downloads / "photo.jpg").write_bytes(b"\xff\xd8\xff\x00")
    (downloads / "other.txt").write_text("1 1\n0 3\n")
    code, out, err = run("data", "import", tmp_path / "downloads")
    assert (code, err) == (0, "")
    assert "1 files imported, 2 not of the manifest" in out
    assert job_shop.read(folder / "job_shop/instances/mine/mine.txt") == shop


def test_data_import_of_nothing_known_is_an_error(folder, shop, tmp_path, manifest, run):
    manifest(entry_of(shop))
    (tmp_path / "other.txt").write_text("1 1\n0 3\n")
    code, out, err = run("data", "import", tmp_path / "other.txt")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert not folder.exists()


@pytest.mark.data
def test_the_public_files_are_those_of_the_manifest(data_folder, folder, run):
    found = [entry for entry in cache.entries() if (data_folder / entry.file).is_file()]
    assert found
    for entry in found:
        text = (data_folder / entry.file).read_text()
        content = family_of(entry).normalise(text, entry.file)
        assert hashlib.sha256(content.encode()).hexdigest() == entry.sha256, entry.file
    for name in {entry.file.partition("/")[0] for entry in found}:
        files = [entry for entry in found if entry.file.startswith(f"{name}/")]
        smallest = min(files, key=lambda entry: (data_folder / entry.file).stat().st_size)
        code, out, _ = run("data", "import", data_folder / smallest.file)
        assert code == 0
        assert "1 files imported" in out
        kept = (folder / smallest.file).read_bytes()
        assert hashlib.sha256(kept).hexdigest() == smallest.sha256
        module, stem = family_of(smallest), Path(smallest.file).stem
        if stem in module.names():  # a file may also hold many instances
            assert module.load(stem) == module.read(folder / smallest.file)
