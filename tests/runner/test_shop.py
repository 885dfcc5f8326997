"""The example project, from an empty system to a run, on both engines."""

from tests.runner.system import ROOT, System
from vulcan_contract.reasons import Reason


def test_shop_goes_from_nothing_to_a_run(untouched: System) -> None:
    system = untouched.ready()
    system.use(ROOT / "examples" / "shop")
    planned = system.plan()
    assert planned.result.reason is Reason.SUCCEEDED
    summary = planned.result.summary
    assert summary is not None
    assert (summary.added, summary.tests_run) == (8, 2)
    applied = system.apply(planned)
    assert applied.result.reason is Reason.SUCCEEDED
    assert system.query("select count(*), count(distinct order_id) from shop.orders") == [(21, 21)]
    assert system.query("select days, cents > 0 from shop.forecast") == [(7, True)]
    assert system.query("select count(*) from shop.item_history where valid_to is null") == [(4,)]
    ran = system.run()
    assert ran.result.reason is Reason.NOTHING_TO_DO
    seed = system.project / "seeds" / "items.csv"  # type: ignore[operator]
    seed.write_text(seed.read_text().replace("0.50", "-0.50"))
    failed = system.apply(system.plan())
    assert failed.result.reason is Reason.AUDIT_FAILED, failed.result.message
    assert [(f.model, f.audit) for f in failed.result.failures] == [("shop.items", "positive_price")]
    assert system.query("select min(price) > 0 from shop.items") == [(True,)], "the views were not swapped"
