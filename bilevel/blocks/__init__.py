"""Building blocks of marketing-mix models: carry-over, saturation, the calendar, a model from a table, its budget."""

from bilevel.blocks.adstock import binomial_adstock as binomial_adstock
from bilevel.blocks.adstock import delayed_adstock as delayed_adstock
from bilevel.blocks.adstock import geometric_adstock as geometric_adstock
from bilevel.blocks.adstock import weibull_adstock as weibull_adstock
from bilevel.blocks.budget.allocation import allocation as allocation
from bilevel.blocks.budget.plan_table import allocation_table as allocation_table
from bilevel.blocks.budget.plan_table import budget_curve as budget_curve
from bilevel.blocks.budget.response_curve import ResponseCurve as ResponseCurve
from bilevel.blocks.calendar_columns import holidays as holidays
from bilevel.blocks.calendar_columns import seasons as seasons
from bilevel.blocks.calendar_columns import trend as trend
from bilevel.blocks.marketing_mix import marketing_mix as marketing_mix
from bilevel.blocks.plan import ADSTOCKS as ADSTOCKS
from bilevel.blocks.plan import SATURATIONS as SATURATIONS
from bilevel.blocks.readings import readings as readings
from bilevel.blocks.readings import spread as spread
from bilevel.blocks.readings import start_from as start_from
from bilevel.blocks.saturation import hill as hill
from bilevel.blocks.saturation import logistic as logistic
from bilevel.blocks.saturation import michaelis_menten as michaelis_menten
from bilevel.blocks.saturation import root as root
from bilevel.blocks.saturation import tanh_saturation as tanh_saturation
from bilevel.blocks.scaling import peak as peak
from bilevel.blocks.scaling import standardised as standardised
