"""What a scheduler says of replicates, true or not, and how it is told."""

from hypothesis import given
from hypothesis import strategies as st

from poco.states import ReplicateStatus
from sdk.progress import words
from sdk.service import ServiceError
from sdk.watch import News, replicates_of

WORKER = "0x" + "12" * 20
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(WORKER),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["replicates", "walletAddress", "currentStatus", "statusUpdateList", "status", "date", "x"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


class Said:
    """A service that answers with one thing."""

    url = "http://127.0.0.1:1"

    def __init__(self, answer):
        self.answer = answer

    def get(self, _path):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@given(anything)
def test_whatever_it_answers_is_replicates_or_an_error_in_words(answer):
    for body in (answer, {"replicates": answer}, {"replicates": [answer]}):
        try:
            assert isinstance(replicates_of(Said(body), "0x00"), list)
        except ServiceError as error:
            assert "is not what a scheduler answers" in error.message


def test_a_replicate_is_read_with_its_history():
    update = {"status": "FAILED", "date": 1_700_000_000_000, "cause": "APP_COMPUTE_FAILED"}
    body = {
        "walletAddress": WORKER,
        "currentStatus": "FAILED",
        "appExitCode": 3,
        "reason": "exit code 3",
        "statusUpdateList": [update],
    }
    (found,) = replicates_of(Said({"replicates": [body]}), "0x00")
    assert (found.worker, found.status, found.exit_code, found.reason) == (WORKER, "FAILED", 3, "exit code 3")
    assert found.history[0].at == 1_700_000_000
    assert found.history[0].detail == "APP_COMPUTE_FAILED"


def test_a_task_that_the_scheduler_does_not_know_has_none():
    assert replicates_of(Said(ServiceError("no", status=404)), "0x00") == []


def test_news_in_words():
    news = News("0x00", "FAILED", WORKER, "scheduler", "APP_COMPUTE_FAILED", 0)
    assert words(news, {WORKER: "pi-roof"}) == "pi-roof failed (APP_COMPUTE_FAILED)"
    assert words(news, {}) == "0x121212..1212 failed (APP_COMPUTE_FAILED)"
    assert words(News("0x00", "CONSENSUS", "", "chain", "", 0), {}) == "consensus: the workers agree"
    told = [status for status in ReplicateStatus if words(News("0x00", status, WORKER, "", "", 0), {})]
    assert {"CREATED", "COMPUTED", "FAILED", "WORKER_LOST", "RESULT_UPLOADED"} <= set(told)
