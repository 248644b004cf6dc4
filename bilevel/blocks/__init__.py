"""What marketing mixes and budgets are built of: carry-over, saturation, whole models from a table."""

from bilevel.blocks.allocation import allocation as allocation
from bilevel.blocks.allocation_readings import allocation_table as allocation_table
from bilevel.blocks.response_curve import ResponseCurve as ResponseCurve
