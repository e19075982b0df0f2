//! Pictures to look at: in memory, or on the device that the window draws with, where a search has left them.

use super::compute::OpenDevice;
use crate::{Error, Picture, Result};
use eframe::wgpu;
use std::fmt;
use std::sync::Arc;

/// Bytes that a row of a texture is a multiple of where it is copied.
const ROW: u32 = wgpu::COPY_BYTES_PER_ROW_ALIGNMENT;

/// Pictures of one size on the window's device, in the layers of a texture. They stay as they are while anybody else
/// than their maker holds the sheet.
pub struct Sheet {
    place: OpenDevice,
    texture: wgpu::Texture,
}

impl Sheet {
    /// How the pixels lie.
    pub const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;

    /// Room for so many pictures of `width` x `height` pixels; `None` where the device has not so many layers.
    pub fn new(place: &OpenDevice, (width, height): (usize, usize), layers: usize) -> Option<Self> {
        let limits = place.device.limits();
        let [width, height, layers] = [width, height, layers].map(|side| u32::try_from(side).unwrap_or(u32::MAX));
        let fits = width.max(height) <= limits.max_texture_dimension_2d && layers <= limits.max_texture_array_layers;
        fits.then(|| {
            let usages = wgpu::TextureUsages::STORAGE_BINDING
                | wgpu::TextureUsages::TEXTURE_BINDING
                | wgpu::TextureUsages::COPY_SRC;
            let texture = place.device.create_texture(&wgpu::TextureDescriptor {
                label: Some("sheet"),
                size: wgpu::Extent3d { width, height, depth_or_array_layers: layers },
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format: Self::FORMAT,
                usage: usages,
                view_formats: &[],
            });
            Self { place: place.clone(), texture }
        })
    }

    /// All layers, to be written.
    pub fn layers(&self) -> wgpu::TextureView {
        self.texture.create_view(&wgpu::TextureViewDescriptor {
            dimension: Some(wgpu::TextureViewDimension::D2Array),
            ..Default::default()
        })
    }

    /// One layer, to be looked at with a device; `None` for another one than the sheet lies on.
    pub(super) fn layer(&self, device: &OpenDevice, layer: u32) -> Option<wgpu::TextureView> {
        self.place.is(device).then(|| {
            self.texture.create_view(&wgpu::TextureViewDescriptor {
                dimension: Some(wgpu::TextureViewDimension::D2),
                base_array_layer: layer,
                array_layer_count: Some(1),
                ..Default::default()
            })
        })
    }

    fn read(&self, layer: u32) -> Result<Picture> {
        let (width, height) = (self.texture.width(), self.texture.height());
        let row = (4 * width).next_multiple_of(ROW);
        let staging = self.place.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("sheet"),
            size: u64::from(row) * u64::from(height),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.place.device.create_command_encoder(&Default::default());
        let from = wgpu::TexelCopyTextureInfo {
            origin: wgpu::Origin3d { x: 0, y: 0, z: layer },
            ..self.texture.as_image_copy()
        };
        let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row), rows_per_image: None };
        let to = wgpu::TexelCopyBufferInfo { buffer: &staging, layout };
        encoder.copy_texture_to_buffer(from, to, wgpu::Extent3d { width, height, depth_or_array_layers: 1 });
        let sent = self.place.queue.submit([encoder.finish()]);
        if let Some(cause) = self.place.loss() {
            return Err(Error::because("The pictures were lost with the connection to the graphics processor.", cause));
        }
        let bytes = self.place.read(&staging, staging.size(), Some(sent))?;
        let rgba = bytes.chunks_exact(row as usize).flat_map(|line| &line[..4 * width as usize]).copied().collect();
        Picture::new(width as usize, height as usize, rgba)
    }
}

/// A picture to look at. Cheap to copy.
#[derive(Clone)]
pub enum Image {
    /// One in memory.
    Memory(Arc<Picture>),
    /// One on the window's device, in a layer of a sheet.
    Sheet(Arc<Sheet>, u32),
}

impl Image {
    /// Pixels from left to right.
    pub fn width(&self) -> usize {
        match self {
            Self::Memory(picture) => picture.width(),
            Self::Sheet(sheet, _) => sheet.texture.width() as usize,
        }
    }

    /// Pixels from top to bottom.
    pub fn height(&self) -> usize {
        match self {
            Self::Memory(picture) => picture.height(),
            Self::Sheet(sheet, _) => sheet.texture.height() as usize,
        }
    }

    /// Whether this is on the window's device alone.
    pub fn is_on_device(&self) -> bool {
        matches!(self, Self::Sheet(..))
    }

    /// The picture, brought to memory if it is not there: then this waits for the device.
    ///
    /// # Errors
    /// When the device has been lost, and the picture with it.
    pub fn picture(&self) -> Result<Arc<Picture>> {
        match self {
            Self::Memory(picture) => Ok(picture.clone()),
            Self::Sheet(sheet, layer) => Ok(Arc::new(sheet.read(*layer)?)),
        }
    }

    /// Whether this is the very same picture as another, not just an equal one.
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Memory(a), Self::Memory(b)) => Arc::ptr_eq(a, b),
            (Self::Sheet(a, i), Self::Sheet(b, j)) => Arc::ptr_eq(a, b) && i == j,
            _ => false,
        }
    }
}

impl From<Picture> for Image {
    fn from(picture: Picture) -> Self {
        Self::Memory(Arc::new(picture))
    }
}

impl From<&Arc<Picture>> for Image {
    fn from(picture: &Arc<Picture>) -> Self {
        Self::Memory(picture.clone())
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.is_on_device() { "on the device" } else { "in memory" };
        write!(f, "Image({} x {}, {place})", self.width(), self.height())
    }
}
