from enforcer.wire.http_client import RetryBudget


def test_retries_are_a_tenth_of_the_calls() -> None:
    """Past a few to begin with, so that an outage is not made worse."""
    budget = RetryBudget()
    assert sum(budget.withdraw() for _ in range(100)) == 10
    for _ in range(95):
        budget.record_call()
    assert sum(budget.withdraw() for _ in range(100)) == 9
