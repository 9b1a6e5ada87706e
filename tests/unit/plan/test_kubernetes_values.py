import pytest

from aiperf.plan.kubernetes_values import (
    Toleration,
    dns_label,
    dns_subdomain,
    image_name,
    ip_address,
    label_key,
    label_value,
    own_label_key,
    read_toleration,
)


@pytest.mark.parametrize("text", ["a", "perf-1", "0", "a" * 63])
def test_names_of_namespaces(text: str) -> None:
    assert dns_label(text) == text


@pytest.mark.parametrize("text", ["", "A", "a_b", "-a", "a-", "a.b", "a" * 64, "ä", "a\n"])
def test_what_names_no_namespace_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a name"):
        dns_label(text)


def test_names_of_objects_may_have_dots() -> None:
    assert dns_subdomain("my.secret-1") == "my.secret-1"
    for text in ("", ".a", "a..b", "A", "a" * 254):
        with pytest.raises(ValueError, match="not the name"):
            dns_subdomain(text)


@pytest.mark.parametrize("text", ["team", "example.com/Team_1", "a/b.c", "nvidia.com/gpu.product"])
def test_keys_of_labels(text: str) -> None:
    assert label_key(text) == text


@pytest.mark.parametrize("text", ["", "/a", "a/", "a/b/c", "Ä", "-a", "A.com/x", "a" * 64])
def test_what_is_no_key_of_a_label_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not the key"):
        label_key(text)


def test_keys_that_aiperf_sets_are_not_the_users() -> None:
    assert own_label_key("team") == "team"
    for text in ("aiperf/run-id", "app.kubernetes.io/name"):
        with pytest.raises(ValueError, match="not yours to set"):
            own_label_key(text)


def test_values_of_labels() -> None:
    assert [label_value(text) for text in ("", "a", "A.b_c-1", "a" * 63)] == ["", "a", "A.b_c-1", "a" * 63]
    for text in ("a b", "a,b=c", "-", "a" * 64, "ä"):
        with pytest.raises(ValueError, match="not the value"):
            label_value(text)


@pytest.mark.parametrize(
    ("text", "toleration"),
    [
        ("spot", Toleration("spot", None, None)),
        ("spot:NoSchedule", Toleration("spot", None, "NoSchedule")),
        ("nvidia.com/gpu=yes:NoExecute", Toleration("nvidia.com/gpu", "yes", "NoExecute")),
        ("gpu=", Toleration("gpu", "", None)),
    ],
)
def test_tolerations(text: str, toleration: Toleration) -> None:
    assert read_toleration(text) == toleration


@pytest.mark.parametrize("text", ["", "=x", "a:b", "a=b:noschedule", "a b", "a=b c", "a:"])
def test_what_is_no_toleration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not the|effect is one of"):
        read_toleration(text)


def test_images() -> None:
    for text in ("aiperf", "localhost/aiperf:test", "r.example:5000/a/b:1.0", "a@sha256:" + "0" * 64):
        assert image_name(text) == text
    for text in ("", "https://r/a", "a b", "-a"):
        with pytest.raises(ValueError, match="not an image"):
            image_name(text)


def test_addresses() -> None:
    assert [ip_address(text) for text in ("10.0.0.1", "fd00::1")] == ["10.0.0.1", "fd00::1"]
    with pytest.raises(ValueError, match="not an IP address"):
        ip_address("node-1")
