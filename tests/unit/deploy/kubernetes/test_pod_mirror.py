"""Watched pods are told once each, whatever happens to the watch."""

from typing import Any

from aiperf.deploy.kubernetes.pod_mirror import PodMirror


def pod(uid: str, version: int, name: str = "w-0") -> dict[str, Any]:
    return {"metadata": {"uid": uid, "name": name, "resourceVersion": str(version)}}


def kinds(changes: Any) -> list[tuple[str, str]]:
    return [(kind, each["metadata"]["uid"]) for kind, each in changes]


def test_a_list_after_a_break_tells_only_differences():
    mirror = PodMirror()
    assert kinds(mirror.listed([pod("a", 1), pod("b", 1)])) == [("ADDED", "a"), ("ADDED", "b")]
    assert kinds(mirror.listed([pod("a", 1), pod("b", 2), pod("c", 3)])) == [("MODIFIED", "b"), ("ADDED", "c")]


def test_what_went_during_a_break_is_told_as_deleted_before_its_replacement():
    mirror = PodMirror()
    list(mirror.listed([pod("a", 1)]))
    assert kinds(mirror.listed([pod("b", 2)])) == [("DELETED", "a"), ("ADDED", "b")]


def test_an_event_that_a_list_has_told_already_is_left_out():
    mirror = PodMirror()
    list(mirror.listed([pod("a", 2)]))
    assert kinds(mirror.happened("ADDED", pod("a", 2))) == []
    assert kinds(mirror.happened("MODIFIED", pod("a", 3))) == [("MODIFIED", "a")]
    assert kinds(mirror.happened("DELETED", pod("a", 4))) == [("DELETED", "a")]
    assert kinds(mirror.happened("DELETED", pod("a", 4))) == []
