from util import work


def check(state):
    import rules_conf as rules

    return work(40_000) % rules.limit


def apply(state):
    import rules_conf as rules

    state["name"] = rules.name
    return state["made"].times1(2) * (2 if rules.double else 1)
