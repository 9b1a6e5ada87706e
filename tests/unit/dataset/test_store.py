import mmap
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiperf.dataset.store import Conversation, Store, StoreError, Turn, compile_store
from aiperf.errors import InfrastructureError

NUMBERS = st.integers(-1, 2**62)
TURNS = st.builds(Turn, st.binary(max_size=40), NUMBERS, NUMBERS)
CONVERSATIONS = st.lists(
    st.builds(
        Conversation,
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        st.lists(TURNS, min_size=1, max_size=3).map(tuple),
    ),
    min_size=1,
    max_size=12,
)
THREE = [Conversation(f"s{i}", (Turn(b'{"n":%d}' % i, 10 + i, 100 + i),)) for i in range(3)]


@given(conversations=CONVERSATIONS)
def test_what_was_compiled_is_read(conversations: list[Conversation], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("store") / "dataset.store"
    info = compile_store(path, iter(conversations))
    store = Store.open(path, verify=True)
    read = [
        Conversation(
            store.session_id(entry),
            tuple(
                Turn(store.body(entry, turn), store.isl_tokens(entry, turn), store.requested_osl(entry, turn))
                for turn in range(store.turn_count(entry))
            ),
        )
        for entry in range(len(store))
    ]
    assert read == conversations
    assert list(store.payloads()) == [(c.session_id, tuple(turn.body for turn in c.turns)) for c in conversations]
    assert info.entry_count == len(store) == len(conversations)
    assert info.turn_count == sum(len(c.turns) for c in conversations)
    assert info.size_bytes == path.stat().st_size
    assert info.sha256 == store.sha256
    store.close()


@given(data=st.data(), position=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_verification_finds_any_changed_byte(
    data: st.DataObject, position: int, flip: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("store") / "dataset.store"
    compile_store(path, data.draw(CONVERSATIONS))
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= flip
    path.write_bytes(content)
    with pytest.raises(StoreError):
        Store.open(path, verify=True)


@pytest.mark.parametrize("size", [0, 1, 40, 79, 80, -1])
def test_a_file_cut_short_is_refused_even_without_verification(size: int, tmp_path: Path) -> None:
    path = tmp_path / "dataset.store"
    compile_store(path, THREE)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(StoreError):
        Store.open(path)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dataset.store"
    path.write_bytes(b'{"text": "Hello"}\n' * 100)
    with pytest.raises(StoreError, match="no dataset of this version"):
        Store.open(path)


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Store.open(tmp_path / "missing")


def test_a_failed_compilation_leaves_the_old_store_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "dataset.store"
    before = compile_store(path, THREE)

    def breaking() -> Iterator[Conversation]:
        yield THREE[0]
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        compile_store(path, breaking())
    assert list(tmp_path.iterdir()) == [path]
    assert Store.open(path, verify=True).sha256 == before.sha256


def test_an_open_store_outlives_its_replacement(tmp_path: Path) -> None:
    path = tmp_path / "dataset.store"
    compile_store(path, THREE)
    store = Store.open(path)
    compile_store(path, THREE[2:])
    assert store.body(2) == b'{"n":2}'
    assert Store.open(path).body(0) == b'{"n":2}'


@pytest.mark.parametrize("conversations", [[], [Conversation("s", ())]])
def test_a_dataset_has_entries_and_entries_have_turns(conversations: list[Conversation], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"at least one entry|has no turn"):
        compile_store(tmp_path / "dataset.store", conversations)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match=r"cannot be written to .*nowhere"):
        compile_store(tmp_path / "nowhere" / "dataset.store", THREE)


def test_close_is_idempotent_and_unmaps(tmp_path: Path) -> None:
    compile_store(tmp_path / "dataset.store", THREE)
    store = Store.open(tmp_path / "dataset.store")
    assert isinstance(store.body(0), bytes)
    store.close()
    store.close()
    with pytest.raises(ValueError):  # noqa: PT011 the memory map's own wording differs between versions
        store.body(0)


def test_the_map_can_only_be_read(tmp_path: Path) -> None:
    compile_store(tmp_path / "dataset.store", THREE)
    store = Store.open(tmp_path / "dataset.store")
    mapped = store._map
    assert isinstance(mapped, mmap.mmap)
    with pytest.raises(TypeError):
        mapped[0] = 0
