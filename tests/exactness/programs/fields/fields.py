class Field:
    count = 0

    def __init__(self, default=None):
        self.default = default

    def __set_name__(self, owner, name):
        self.name = name
        self.slot = "_" + name
        type(self).count += 1

    def __get__(self, instance, owner=None):
        if instance is None:
            return self
        return instance.__dict__.get(self.slot, self.default)

    def __set__(self, instance, value):
        instance.__dict__[self.slot] = self.check(value)

    def check(self, value):
        return value

    def __repr__(self):
        return f"{type(self).__name__}({self.name})"


class Validated(Field):
    pass


class Text(Validated):
    def __init__(self, default="", longest=20):
        super().__init__(default)
        self.longest = longest

    def check(self, value):
        if not isinstance(value, str):
            raise TypeError(f"{self.name} takes text, not {type(value).__name__}")
        if len(value) > self.longest:
            raise ValueError(f"{self.name} is longer than {self.longest}")
        return value


class Integer(Validated):
    low = 0

    def check(self, value):
        value = int(value)
        if value < self.low:
            raise ValueError(f"{self.name}: {value} < {self.low}")
        return value
