NAME = "one of a"
