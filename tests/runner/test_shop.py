"""The example project, from an empty system to a run, on both engines."""

from tests.runner.system import ROOT, System
from vulcan_contract.reasons import Reason


def test_shop_goes_from_nothing_to_a_run(anywhere: System) -> None:
    system = anywhere
    probed = system.probe()
    assert probed.result.reason is Reason.SUCCEEDED, probed.stdout
    assert probed.result.probe is not None and probed.result.probe.initialised
    system.ready()
    system.use(ROOT / "examples" / "shop")
    planned = system.plan()
    print(planned.stdout[-3000:], planned.result)
    assert planned.result.reason is Reason.SUCCEEDED
    summary = planned.result.summary
    assert summary is not None
    assert (summary.added, summary.tests_run) == (8, 2)
    applied = system.apply(planned)
    print(applied.stdout[-3000:], applied.result)
    assert applied.result.reason is Reason.SUCCEEDED
    assert system.query("select count(*), count(distinct order_id) from shop.orders") == [(21, 21)]
    ran = system.run()
    print(ran.stdout[-3000:], ran.result)
    assert ran.result.reason is Reason.NOTHING_TO_DO
