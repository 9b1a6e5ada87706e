from aiperf.plan.plan import LINES_MAX, EndpointPlan, InputPlan, LoadPlan, Plan, settled


def plan(**load: object) -> Plan:
    return Plan(endpoint=EndpointPlan(models=("a", "b")), load=LoadPlan.model_validate(load))


def test_a_scalar_plan_has_itself_as_its_only_variant() -> None:
    alone = plan(concurrency=4)
    assert list(alone.variants()) == [alone]


def test_a_sweep_has_a_scalar_variant_for_each_combination() -> None:
    swept = plan(concurrency=[1, 2], request_rate=[10.0, 20.0])
    swept = swept.model_copy(update={"input": InputPlan(isl_mean_tokens=(5, 6))})
    variants = [(v.load.concurrency, v.load.request_rate, v.input.isl_mean_tokens) for v in swept.variants()]
    assert sorted(variants) == [(c, r, i) for c in (1, 2) for r in (10.0, 20.0) for i in (5, 6)]
    assert all(variant.endpoint.models == ("a", "b") for variant in swept.variants())


def test_a_settled_plan_says_all_that_a_repetition_needs():
    open_plan = Plan(endpoint=EndpointPlan(models=("m",)))
    plan = settled(open_plan, drawn_seed=77)
    assert (plan.input.random_seed, plan.load.concurrency) == (77, 1)
    assert settled(plan, drawn_seed=78) == plan


def test_settling_leaves_what_was_asked_for():
    asked = Plan(endpoint=EndpointPlan(models=("m",)), input=InputPlan(random_seed=5), load=LoadPlan(request_rate=2.0))
    assert settled(asked, drawn_seed=77) == asked


def test_more_than_a_million_requests_have_lines_only_when_asked_for():
    many = Plan(endpoint=EndpointPlan(models=("m",)), load=LoadPlan(concurrency=1, request_count=LINES_MAX + 1))
    assert settled(many, drawn_seed=1, export_level_given=False).results.export_level == "summary"
    assert settled(many, drawn_seed=1, export_level_given=True).results.export_level == "records"
    few = Plan(endpoint=EndpointPlan(models=("m",)), load=LoadPlan(concurrency=1, request_count=LINES_MAX))
    assert settled(few, drawn_seed=1, export_level_given=False).results.export_level == "records"
