from .transforms.arguments import bind_names, expression_of  # noqa
from .transforms.programs import check_differentiable  # noqa
