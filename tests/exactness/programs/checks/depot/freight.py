RATES = {"road": 3, "rail": 2, "air": 11}


def cost(weight, distance, way="road"):
    return RATES[way] * weight * distance // 100


def split(weights, capacity):
    """Loads for a carrier: first fit, heaviest first."""
    loads = []
    for weight in sorted(weights, reverse=True):
        for load in loads:
            if sum(load) + weight <= capacity:
                load.append(weight)
                break
        else:
            loads.append([weight])
    return loads


def pounds(kilos):
    return kilos * 2.20462
