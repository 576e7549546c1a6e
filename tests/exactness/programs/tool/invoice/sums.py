from decimal import Decimal

ROUNDS = 8000


class Invoice:
    """One client's invoice."""

    discount = 5
    threshold = 100

    def __init__(self, client, hours, tariff, rounding=2):
        self.client = client
        self.hours = hours
        self.tariff = tariff
        self.rounding = rounding

    @property
    def net(self):
        total = Decimal(0)
        for line in self.hours:
            total += Decimal(self.tariff[line.work]) * line.count
        if sum(line.count for line in self.hours) > self.threshold:
            total -= total * self.discount / 100
        return round(total, self.rounding)

    @property
    def vat(self):
        return self.net * self.tariff["vat"][self.client["country"]] / 100

    @property
    def gross(self):
        return self.net + self.vat

    def yearly(self):
        return self.gross * 12


def audit(invoices):
    """A number that any change of any invoice changes."""
    state = 17
    for turn in range(ROUNDS):
        for invoice in invoices:
            for line in invoice.hours[turn % 5 :: 5]:
                state = (state * 131 + line.count + len(line.work)) % 998_244_353
    return state
