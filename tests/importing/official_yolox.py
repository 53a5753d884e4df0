"""A YOLOX whose modules are named and run as in its authors' repository, in plain PyTorch."""

import torch
from torch import Tensor, nn


class BaseConv(nn.Module):
    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(
            inputs, outputs, size, stride, (size - 1) // 2, groups=groups, bias=False
        )
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.silu(self.bn(self.conv(x)))


class DWConv(nn.Module):
    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1):
        super().__init__()
        self.dconv = BaseConv(inputs, inputs, size, stride, groups=inputs)
        self.pconv = BaseConv(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pconv(self.dconv(x))


class Focus(nn.Module):
    def __init__(self, outputs: int):
        super().__init__()
        self.conv = BaseConv(12, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        corners = [x[..., row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.conv(torch.cat(corners, 1))


class Bottleneck(nn.Module):
    def __init__(self, channels: int, add: bool, conv: type):
        super().__init__()
        self.conv1 = BaseConv(channels, channels, 1)
        self.conv2 = conv(channels, channels, 3)
        self.add = add

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(self.conv1(x))
        return y + x if self.add else y


class CSPLayer(nn.Module):
    def __init__(self, inputs: int, outputs: int, blocks: int, add: bool, conv: type):
        super().__init__()
        self.conv1 = BaseConv(inputs, outputs // 2, 1)
        self.conv2 = BaseConv(inputs, outputs // 2, 1)
        self.conv3 = BaseConv(outputs, outputs, 1)
        self.m = nn.Sequential(*(Bottleneck(outputs // 2, add, conv) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        one, other = self.conv1(x), self.conv2(x)
        return self.conv3(torch.cat([self.m(one), other], 1))


class SPPBottleneck(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = BaseConv(channels, channels // 2, 1)
        self.conv2 = BaseConv(channels * 2, channels, 1)
        self.m = nn.ModuleList(nn.MaxPool2d(size, 1, size // 2) for size in (5, 9, 13))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        return self.conv2(torch.cat([x, *(pool(x) for pool in self.m)], 1))


class CSPDarknet(nn.Module):
    def __init__(self, width: int, blocks: int, conv: type):
        super().__init__()
        self.stem = Focus(width)
        for stage, count in zip(
            (2, 3, 4, 5), (blocks, 3 * blocks, 3 * blocks, blocks), strict=True
        ):
            inputs, outputs = width * 2 ** (stage - 2), width * 2 ** (stage - 1)
            layers: list[nn.Module] = [conv(inputs, outputs, 3, 2)]
            if stage == 5:
                layers.append(SPPBottleneck(outputs))
            layers.append(CSPLayer(outputs, outputs, count, stage != 5, conv))
            setattr(self, f"dark{stage}", nn.Sequential(*layers))

    def forward(self, x: Tensor) -> list[Tensor]:
        found = [self.dark2(self.stem(x))]
        for stage in (self.dark3, self.dark4, self.dark5):
            found.append(stage(found[-1]))
        return found[1:]


class YOLOPAFPN(nn.Module):
    def __init__(self, width: int, blocks: int, conv: type):
        super().__init__()
        low, middle, high = 4 * width, 8 * width, 16 * width
        self.backbone = CSPDarknet(width, blocks, conv)
        self.lateral_conv0 = BaseConv(high, middle, 1)
        self.C3_p4 = CSPLayer(2 * middle, middle, blocks, False, conv)
        self.reduce_conv1 = BaseConv(middle, low, 1)
        self.C3_p3 = CSPLayer(2 * low, low, blocks, False, conv)
        self.bu_conv2 = conv(low, low, 3, 2)
        self.C3_n3 = CSPLayer(2 * low, middle, blocks, False, conv)
        self.bu_conv1 = conv(middle, middle, 3, 2)
        self.C3_n4 = CSPLayer(2 * middle, high, blocks, False, conv)

    def forward(self, x: Tensor) -> list[Tensor]:
        low, middle, high = self.backbone(x)
        top = self.lateral_conv0(high)
        mid = self.reduce_conv1(self.C3_p4(torch.cat([_double(top), middle], 1)))
        p3 = self.C3_p3(torch.cat([_double(mid), low], 1))
        p4 = self.C3_n3(torch.cat([self.bu_conv2(p3), mid], 1))
        return [p3, p4, self.C3_n4(torch.cat([self.bu_conv1(p4), top], 1))]


def _double(x: Tensor) -> Tensor:
    return nn.functional.interpolate(x, scale_factor=2, mode="nearest")


class YOLOXHead(nn.Module):
    def __init__(self, classes: int, inputs: list[int], conv: type):
        super().__init__()
        width = inputs[0]

        def two() -> nn.Module:
            return nn.ModuleList(
                nn.Sequential(conv(width, width, 3), conv(width, width, 3)) for _ in inputs
            )

        def last(outputs: int) -> nn.Module:
            return nn.ModuleList(nn.Conv2d(width, outputs, 1) for _ in inputs)

        self.cls_convs, self.reg_convs = two(), two()
        self.cls_preds, self.reg_preds, self.obj_preds = last(classes), last(4), last(1)
        self.stems = nn.ModuleList(BaseConv(channels, width, 1) for channels in inputs)

    def forward(self, levels: list[Tensor]) -> Tensor:
        outputs = []
        for level, x in enumerate(levels):
            x = self.stems[level](x)
            scores = self.cls_preds[level](self.cls_convs[level](x))
            regions = self.reg_convs[level](x)
            boxes, objects = self.reg_preds[level](regions), self.obj_preds[level](regions)
            found = torch.cat([boxes, objects.sigmoid(), scores.sigmoid()], 1)
            outputs.append(found.flatten(2))
        return torch.cat(outputs, 2).permute(0, 2, 1)


class OfficialYOLOX(nn.Module):
    """``width`` channels in the stem; ``depthwise`` as nano is."""

    def __init__(self, classes: int = 80, width: int = 16, blocks: int = 1, depthwise: bool = True):
        super().__init__()
        conv = DWConv if depthwise else BaseConv
        self.backbone = YOLOPAFPN(width, blocks, conv)
        self.head = YOLOXHead(classes, [4 * width, 8 * width, 16 * width], conv)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.backbone(x))


def random_yolox(**settings: object) -> OfficialYOLOX:
    """With statistics and gains as training leaves them, different in every channel."""
    made = OfficialYOLOX(**settings).eval()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.3, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias, 0, 0.3)
    return made
