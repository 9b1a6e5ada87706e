"""The verdict: how far the numbers of a run can be trusted.

Owns: putting the rules' findings together. Does not own: the rules (`verdict_sharpness`, `verdict_punctuality`,
`verdict_load`, `verdict_accounts`), symptoms (`verdict_symptoms`), the numbers (`summary`), exit codes (`aiperf.cli`).

A rule looks at what happened to the records, never at raw symptoms such as a slow event loop: a late wake-up that no
stamp felt did no harm. Each says which metric may be off, which way, and by how much; symptoms only explain. How many
requests the service failed is a result and no matter of trust. The rules with the experiments behind them:
docs/truth.md.
"""

from collections.abc import Mapping

import msgspec

from aiperf.metrics import verdict_accounts, verdict_load, verdict_punctuality, verdict_sharpness, verdict_symptoms
from aiperf.metrics.distribution import MetricResult
from aiperf.metrics.failures import Failures
from aiperf.metrics.rates import RunView
from aiperf.metrics.verdict_reasons import Cause, Reason, Severity


class Verdict(msgspec.Struct, frozen=True):
    status: str
    """`valid`, `degraded` or `invalid`."""
    reasons: list[Reason]
    """The heaviest first."""
    causes: list[Cause] = []
    """What held workers up, the most telling first: explanations, should there be something to explain."""

    def touched(self, metric: str) -> Severity | None:
        """The weight of what may put this metric off; None if nothing more than a note does."""
        weights = [
            reason.severity
            for reason in self.reasons
            if reason.severity is not Severity.NOTE and any(effect.metric == metric for effect in reason.effects)
        ]
        return max(weights, key=list(Severity).index, default=None)


def judge(view: RunView, metrics: Mapping[str, MetricResult], failures: Failures) -> Verdict:
    """The verdict on a run. `metrics`: all results by tag, those for the verdict alone included."""
    causes = verdict_symptoms.causes(view.run)
    reasons = [
        *verdict_accounts.rules(view, metrics, failures),
        *verdict_sharpness.rules(view, metrics),
        *verdict_punctuality.rules(view, metrics),
        *verdict_load.rules(view, metrics),
        *verdict_symptoms.rules(causes),
    ]
    weights = list(Severity)
    reasons.sort(key=lambda reason: -weights.index(reason.severity))
    heaviest = reasons[0].severity if reasons else Severity.NOTE
    return Verdict("valid" if heaviest is Severity.NOTE else heaviest.value, reasons, causes)
